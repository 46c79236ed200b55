"""Penalties on the weights: L1, L2, the proximal step that makes exact zeros, decoupled decay."""

from optlib.backend import sign, where
from optlib.legal import legal


def _total(x):
    return x.sum() if hasattr(x, "sum") else x


@legal(lam="[0, inf)")
def l2_penalty(w, lam):
    """Pull every weight to 0 in proportion to its size; returns (value, gradient), any shape.

    Conventions: the lesson's, lam * sum(w**2), so the gradient is 2 * lam * w. torch's
    `weight_decay` adds weight_decay * w: it is 2 * lam. sklearn's Ridge is this value.
    """
    return lam * _total(w**2), 2 * lam * w


@legal(lam="[0, inf)")
def l1_penalty(w, lam):
    """Pull every weight to 0 with the same force; returns (value, subgradient), any shape.

    Conventions: sign(0) = 0, as in torch. Following this subgradient does not make exact zeros;
    `soft_threshold` does (Tibshirani 1996 has the zeros, Tsuruoka et al. 2009 the trouble).
    """
    return lam * _total(abs(w)), lam * sign(w)


@legal(threshold="[0, inf)")
def soft_threshold(w, threshold):
    """Bring every weight nearer to 0 by `threshold`; what would pass 0 becomes exactly 0.

    It is the proximal step of the L1 penalty: it minimizes threshold*|z| + (z - w)**2 / 2 over z.
    """
    return where(abs(w) > threshold, w - threshold * sign(w), 0 * w)


def proximal_step(w, g, *, lr, l1):
    """One step on the loss, whose gradient is g, then one on the penalty l1 * sum(|w|) (ISTA)."""
    return soft_threshold(w - lr * g, lr * l1)


def decoupled_decay(w, *, lr, weight_decay):
    """Shrink the weights beside the optimizer's step, not through its gradient (AdamW, SGDW).

    Conventions: times lr, as in torch; Loshchilov & Hutter 2019 multiply by the schedule alone.
    Under plain SGD it equals an L2 penalty of lam = weight_decay / 2, under Adam it does not.
    """
    return w - lr * weight_decay * w
