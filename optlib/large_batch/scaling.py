"""How the learning rate follows the batch size, and how far: the gradient noise scale."""

import math

import numpy as np

RULES = {"linear": lambda k: k, "sqrt": lambda k: k**0.5}


def scaled_lr(lr, batch_size, base_batch_size, rule="linear"):
    """Return the learning rate for `batch_size`, given the `lr` that suits `base_batch_size`.

    "linear" is for SGD (Goyal et al. 2017), with a warmup: `optlib.schedules.warmup`. "sqrt" is
    for Adam, RMSprop and LAMB (Malladi et al. 2022). Both end at the noise scale.

    Raises ValueError for another rule, and for a batch size that is not positive.
    """
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}; legal: {', '.join(map(repr, RULES))}")
    if not (batch_size > 0 and base_batch_size > 0):
        raise ValueError(f"batch sizes are {batch_size} and {base_batch_size}; legal: above 0")
    return lr * RULES[rule](batch_size / base_batch_size)


def stationary_variance(lr, batch_size, curvature=1.0, noise=1.0):
    """Return the variance of w in the long run, for SGD on the loss `curvature * w**2 / 2`.

    One example's gradient has variance `noise`. The variance is infinite from `lr = 2 / curvature`
    on, whatever the batch size: there linear scaling must fail.
    """
    if lr * curvature >= 2:
        return math.inf
    return lr * noise / (batch_size * curvature * (2 - lr * curvature))


def gradient_and_noise(g_small, g_big, small, big):
    """Return unbiased estimates of |G|^2 and tr(Sigma), from the gradients of two batch sizes.

    G is the true gradient, Sigma the covariance of one example's gradient (McCandlish et al. 2018,
    appendix A.1). `g_small` and `g_big` are mean gradients of batches of `small` and `big`
    examples, arrays of one shape. One pair says little and may be negative: average over steps.

    Raises ValueError unless 0 < small < big.
    """
    if not 0 < small < big:
        raise ValueError(f"batch sizes are {small} and {big}; legal: 0 < small < big")
    square_small, square_big = np.sum(np.square(g_small)), np.sum(np.square(g_big))
    square = (big * square_big - small * square_small) / (big - small)
    trace = (square_small - square_big) / (1 / small - 1 / big)
    return square, trace


def noise_scale(pairs, small, big):
    """Return the simple noise scale tr(Sigma) / |G|^2, a batch size, from many pairs of gradients.

    `pairs` yields `(g_small, g_big)`. The two estimates are averaged before they are divided: the
    ratio of one pair is biased, and so is the mean of such ratios.
    """
    estimates = [gradient_and_noise(g_small, g_big, small, big) for g_small, g_big in pairs]
    square, trace = np.mean(estimates, axis=0)
    return trace / square


def relative_steps(batch_size, noise_scale):
    """Return the steps to a given loss, over the fewest that an endless batch would take."""
    return 1 + noise_scale / batch_size


def relative_examples(batch_size, noise_scale):
    """Return the examples to a given loss, over the fewest that a tiny batch would take."""
    return 1 + batch_size / noise_scale
