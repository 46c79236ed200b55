"""Warm restarts: anneal, jump back to lr_max, anneal again (SGDR; Loshchilov & Hutter 2017)."""

from optlib.legal import legal
from optlib.schedules.cosine import cosine_annealing


@legal(
    t="[0, inf)", T_0="(0, inf)", T_mult="integer [1, inf)", lr_max="[0, inf)", lr_min="[0, inf)"
)
def warm_restarts(t, T_0, T_mult, lr_max, lr_min=0.0):
    """One cosine of T_0 units of t; after it the same schedule, T_mult times as long (equation 5).

    `t` counts epochs or steps from 0, in the unit of T_0; it may be a float.
    Conventions: lr_max at every restart, lr_min only in the limit before it, as in torch's
    CosineAnnealingWarmRestarts. There `step(epoch)`, like timm, finds the cycle by a logarithm and
    misses some restarts; subtraction is exact, for a float t too. timm restarts only if asked.
    """
    t = t % T_0 if T_mult == 1 else t
    return (
        cosine_annealing(t, T_0, lr_max, lr_min)
        if t < T_0
        else warm_restarts(t - T_0, T_0 * T_mult, T_mult, lr_max, lr_min)
    )
