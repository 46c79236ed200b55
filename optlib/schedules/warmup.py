"""Warmup: rise to the peak before falling, for the first steps are the least to be trusted.

In all of them `t` counts optimizer steps already taken, 0 at the first; it may be a float.
Conventions: warmup never gives 0. It starts at lr_max / warmup_steps and is at lr_max for the
step t = warmup_steps - 1; the schedule after it starts at t = warmup_steps, where lr_max is seen
again. nanoGPT's older copies start at 0, optax from its init_value, torch's LinearLR at 1/3.
"""

from optlib.legal import legal
from optlib.schedules.cosine import cosine_annealing
from optlib.schedules.decay import linear_decay


@legal(t="[0, inf)", warmup_steps="[0, inf)", lr="[0, inf)")
def linear_warmup(t, warmup_steps, lr):
    """Rise on a straight line to lr, and stay there (Goyal et al. 2017, section 2.2).

    Conventions: torch's LinearLR with start_factor 1/warmup_steps, total_iters warmup_steps - 1.
    """
    return lr * min(1, (t + 1) / warmup_steps) if t < warmup_steps else lr


@legal(steps="[0, inf)")
def warmup(schedule, steps):
    """Return the schedule, a function of t, that warms up to `schedule(0)` and then begins it.

    Conventions: `schedule` sees t - steps, as in torch's SequentialLR and optax's
    `join_schedules`; timm subtracts only with `warmup_prefix=True`.
    """
    return lambda t: linear_warmup(t, steps, schedule(0)) if t < steps else schedule(t - steps)


@legal(
    t="[0, inf)",
    warmup_steps="[0, total_steps)",
    total_steps="(0, inf)",
    lr_max="[0, inf)",
    lr_min="[0, inf)",
)
def warmup_cosine(t, warmup_steps, total_steps, lr_max, lr_min=0.0):
    """Linear warmup, then one cosine down to lr_min at t = total_steps, and ever after.

    Conventions: total_steps includes the warmup, as optax's `decay_steps` does. torch:
    SequentialLR of LinearLR and CosineAnnealingLR(total_steps - warmup_steps).
    """
    return (
        lr_max * min(1, (t + 1) / warmup_steps)
        if t < warmup_steps
        else cosine_annealing(t - warmup_steps, total_steps - warmup_steps, lr_max, lr_min)
    )


@legal(
    t="[0, inf)",
    warmup_steps="[0, total_steps)",
    decay_steps="(0, total_steps]",
    total_steps="(0, inf)",
    lr_max="[0, inf)",
    lr_min="[0, inf)",
)
def warmup_stable_decay(t, warmup_steps, decay_steps, total_steps, lr_max, lr_min=0.0):
    """Warm up, hold lr_max, fall linearly over the last decay_steps to lr_min at total_steps (WSD).

    The stable part needs no total: it can be prolonged, and cooled down when wanted.
    Conventions: the cooldown is linear (Haegele et al. 2024); MiniCPM's is exponential (Hu et al.
    2024). A cooldown longer than what the warmup leaves begins, part way down, where that ends.
    """
    return (
        lr_max * min(1, (t + 1) / warmup_steps)
        if t < warmup_steps
        else linear_decay(max(0, t - (total_steps - decay_steps)), decay_steps, lr_max, lr_min)
    )


@legal(
    t="[0, inf)",
    total_steps="(1, inf)",
    lr_max="[0, inf)",
    peak="(0, 1)",
    div="[1, inf)",
    final_div="[1, inf)",
)
def one_cycle(t, total_steps, lr_max, peak=0.3, div=25.0, final_div=1e4):
    """One cosine up from lr_max / div, one down to lr_max / div / final_div (Smith & Topin 2018).

    Conventions: torch's OneCycleLR without its momentum cycle; `peak` is its pct_start. The top is
    at t = peak * total_steps - 1, the end at t = total_steps - 1; past it torch raises, we hold.
    """
    t_peak = peak * total_steps - 1
    return (
        cosine_annealing(t, t_peak, lr_max / div, lr_max)
        if t < t_peak
        else cosine_annealing(
            t - t_peak, total_steps - 1 - t_peak, lr_max, lr_max / div / final_div
        )
    )
