"""Clipping: bound the gradient before the step is taken, so that one bad batch cannot ruin all.

Every function returns new gradients. A NaN is never clipped away: it makes the norm, and so every
clipped gradient, NaN. An infinite one becomes NaN, and all others 0, as in torch.
"""

from optlib.backend import norm, sign, where
from optlib.legal import legal


@legal(limit="(0, inf)")
def clip_by_value(g, limit):
    """Bring every element into [-limit, limit]; this changes the gradient's direction.

    Conventions: equal to torch's `clip_grad_value_`.
    """
    return where(abs(g) > limit, limit * sign(g), g)


@legal(max_norm="(0, inf)")
def clip_by_norm(g, max_norm):
    """Scale g to the norm max_norm if it is longer; its direction stays (Pascanu et al. 2013).

    Conventions: exact. torch multiplies by max_norm / (norm + 1e-6), at most 1: a gradient that it
    clips ends up shorter by the factor norm / (norm + 1e-6), and so does one just under max_norm.
    """
    return g * (max_norm / max(norm(g), max_norm))


def global_norm(grads):
    """The norm of all gradients together, as if they were one long vector."""
    return sum(norm(g) ** 2 for g in grads) ** 0.5


@legal(max_norm="(0, inf)")
def clip_by_global_norm(grads, max_norm):
    """Return the gradients, all scaled by the same factor, and their norm before that."""
    grads = list(grads)
    before = global_norm(grads)
    return [g * (max_norm / max(before, max_norm)) for g in grads], before


def clip_gradients(params, max_norm):
    """Clip the gradients of torch parameters to one global norm; return the norm before, a float.

    Each `p.grad` becomes a new tensor: whoever holds the old one still has the unclipped gradient.
    Conventions: torch's `clip_grad_norm_` overwrites it, and differs as said in `clip_by_norm`.
    """
    params = [p for p in params if p.grad is not None]
    grads, before = clip_by_global_norm([p.grad for p in params], max_norm)
    for p, g in zip(params, grads):
        p.grad = g
    return float(before)
