"""Cosine annealing: fall from lr_max to lr_min along half a cosine (Loshchilov & Hutter 2017)."""

from math import cos, pi

from optlib.legal import legal


@legal(t="[0, inf)", T="(0, inf)", lr_max="[0, inf)", lr_min="[0, inf)")
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    """The learning rate after `t` of `T` steps; both in the same unit, steps or epochs.

    Conventions: lr_max at t = 0, lr_min at t = T and ever after. torch's CosineAnnealingLR climbs
    again past T.
    """
    t = min(t, T)
    return lr_min + (lr_max - lr_min) / 2 * (1 + cos(t * pi / T))
