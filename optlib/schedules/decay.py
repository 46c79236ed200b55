"""Schedules that only fall: constant, step, exponential, linear, inverse square root.

In all of them `t` counts what has been done, 0 at the first: epochs or steps, whichever unit the
lengths (`every`, `1/k`, `T`) are in. It may be an integer or a float, in any order.
"""

from math import exp

from optlib.legal import legal


@legal(t="[0, inf)", lr="[0, inf)")
def constant(t, lr):
    """The same rate for ever.

    Conventions: torch's ConstantLR is not this; it holds a third of the rate, for 5 epochs.
    """
    return lr


@legal(t="[0, inf)", lr="[0, inf)", factor="[0, 1]", every="(0, inf)")
def step_decay(t, lr, factor=0.1, every=30):
    """Multiply the rate by `factor` after `every` units of t, and again (He et al. 2016, by 10).

    Conventions: the first lower rate is at t = every, as in torch's StepLR. optax's
    `exponential_decay(staircase=True)` is this one.
    """
    return lr * factor ** (t // every)


@legal(t="[0, inf)", lr="[0, inf)", k="[0, inf)")
def exponential_decay(t, lr, k):
    """Lose the same share of the rate in every unit of t; k is in 1/unit (the lesson's formula).

    Conventions: torch's ExponentialLR takes gamma = exp(-k). A k per epoch is not a k per step.
    """
    return lr * exp(-k * t)


@legal(t="[0, inf)", T="(0, inf)", lr_max="[0, inf)", lr_min="[0, inf)")
def linear_decay(t, T, lr_max, lr_min=0.0):
    """Go down a straight line from lr_max at t = 0 to lr_min at t = T, and stay.

    Bergsma et al. 2025 take it to 0 for language models.
    Conventions: torch's LinearLR and optax's `linear_schedule` are this one, but for the names.
    """
    u = min(t, T) / T
    return (1 - u) * lr_max + u * lr_min


@legal(t="[0, inf)", warmup_steps="(0, inf)", lr_max="[0, inf)")
def inverse_square_root(t, warmup_steps, lr_max):
    """Rise linearly for warmup_steps, then fall as 1 / sqrt(t + 1); t counts optimizer steps.

    Conventions: lr_max is reached at t = warmup_steps - 1, where the step being taken has the
    number warmup_steps. torch and optax have no twin.
    """
    return lr_max * min((t + 1) / warmup_steps, (warmup_steps / (t + 1)) ** 0.5)


@legal(t="[0, inf)", d_model="(0, inf)", warmup_steps="(0, inf)")
def noam(t, d_model=512, warmup_steps=4000):
    """Let the width of the Transformer set the peak (Vaswani et al. 2017, equation 3).

    Conventions: the paper's step_num starts at 1; it is t + 1. This is `inverse_square_root` with
    the peak 1 / sqrt(d_model * warmup_steps).
    """
    return d_model**-0.5 * min((t + 1) ** -0.5, (t + 1) * warmup_steps**-1.5)
