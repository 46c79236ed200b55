"""LARS: give every layer a step in proportion to its weights (You et al. 2017, Algorithm 1)."""

from optlib.backend import norm, where
from optlib.engine import Optimizer
from optlib.optimizers.momentum import momentum


def lars(w, g, v, *, lr=1.0, beta=0.9, weight_decay=0.0, trust=0.001):
    """One step of one layer. All arrays have one shape; returns the new `(w, v)`.

    Norms are over all elements of the layer. The local rate is 1 if the norm of w or of g is 0.

    Conventions: lr and the local rate are inside the velocity, as in the paper; timm keeps lr
    outside, which agrees at a constant lr. The decay is L2 (`g + weight_decay * w`) and the
    denominator is the paper's `|g| + weight_decay * |w|`; optax and moco-v3 take
    `|g + weight_decay * w|`. There is no eps (timm adds 1e-8) and no clip (apex LARC has one).
    """
    w_norm = norm(w)
    g_norm = norm(g)
    denominator = where(g_norm > 0, g_norm + weight_decay * w_norm, 1.0)
    local = where((w_norm > 0) & (g_norm > 0), trust * w_norm / denominator, 1.0)
    v = beta * v + lr * local * (g + weight_decay * w)
    w = w - v
    return w, v


def lars_or_momentum(w, g, v, *, lr=1.0, beta=0.9, weight_decay=0.0, trust=0.001, adapt=True):
    """`lars`, or the same step at a local rate of 1 if `adapt` is False: momentum with L2 decay.

    Conventions: `adapt` says it, nothing is guessed; timm drops the local rate of every group
    whose weight_decay is 0, kozistr's package that of every parameter of at most one dimension.
    """
    if adapt:
        return lars(w, g, v, lr=lr, beta=beta, weight_decay=weight_decay, trust=trust)
    return momentum(w, g + weight_decay * w, v, lr=lr, beta=beta)


class LARS(Optimizer):
    """`lars` on every parameter; on parameter groups with `adapt=False`, momentum.

    Biases and the scales of norm layers belong into such a group; `optlib.parameter_groups` makes
    it: `LARS(norms_and_biases_apart(model, adapt=False), lr=...)`. Otherwise a weight that starts
    at zero moves at the local rate 1, a thousand times that of its neighbours.
    """

    rule = staticmethod(lars_or_momentum)
