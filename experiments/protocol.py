"""The protocol of every comparison, in one place.

Each arm gets the same number of trials on its own log grid. A winner on the edge of its grid is
not accepted: the grid is widened, and every other arm gets as many trials more. Rates are tuned on
validation, results reported on test, over at least five seeds that all arms share.
"""

from dataclasses import dataclass
from math import inf, isfinite, nan

import numpy as np
from scipy import stats

FEWEST_SEEDS = 5
EXTRA = 2  # trials that a round of widening adds to every arm


def log_grid(low, high, count):
    """Return `count` rates from `low` to `high`, each the same multiple of the one before."""
    return [float(rate) for rate in np.geomspace(low, high, count)]


@dataclass(frozen=True)
class Tuned:
    """An arm after tuning: its best rate, and every trial as rate -> validation score."""

    rate: float
    trials: dict
    accepted: bool  # False: the winner is still on the edge, and its rate means nothing

    @property
    def score(self):
        return self.trials[self.rate]


def tune(validate, grids, rounds=5):
    """Tune every arm with one budget; return arm -> `Tuned`. Lower scores are better.

    `validate(arm, rate)` is a score on validation data; NaN is a failure. `grids` is arm -> rates.
    While some winner is on an edge, for at most `rounds` rounds, every arm gets two more trials:
    beyond that edge, or, where the winner is inside, on both sides of it.
    """
    if len({len(set(grid)) for grid in grids.values()}) != 1 or min(map(len, grids.values())) < 3:
        raise ValueError("every arm needs a grid of the same number of rates, at least 3")
    trials = {arm: {} for arm in grids}
    wanted = grids
    for _ in range(rounds + 1):
        for arm, rates in wanted.items():
            trials[arm] |= {rate: _score(validate(arm, rate)) for rate in rates}
        if not any(on_edge(trials[arm]) for arm in grids):
            break
        wanted = {arm: _further(trials[arm]) for arm in grids}
    return {arm: Tuned(best(t), t, not on_edge(t)) for arm, t in trials.items()}


def best(trials):
    """Return the rate of the lowest score; among equals the middle one."""
    low = min(trials.values())
    winners = sorted(rate for rate in trials if trials[rate] == low)
    return winners[(len(winners) - 1) // 2]


def on_edge(trials):
    """Say whether the best rate is the first or the last: a better one may lie beyond."""
    return best(trials) in (min(trials), max(trials)) or not isfinite(min(trials.values()))


def _score(x):
    return inf if x is None or np.isnan(x) else float(x)


def _further(trials):
    rates = sorted(trials)
    i = rates.index(best(trials))
    if i == 0 or not isfinite(trials[rates[i]]):  # nothing worked: rates were too high
        step = rates[1] / rates[0]
        return [rates[0] / step**k for k in range(1, EXTRA + 1)]
    if i == len(rates) - 1:
        step = rates[-1] / rates[-2]
        return [rates[-1] * step**k for k in range(1, EXTRA + 1)]
    return [(rates[i] * other) ** 0.5 for other in (rates[i - 1], rates[i + 1])]


def interval(values, level=0.95):
    """Return (mean, low, high) by Student's t, over at least five seeds."""
    values = np.asarray(values, float)
    if len(values) < FEWEST_SEEDS:
        raise ValueError(f"{len(values)} seeds; an interval needs at least {FEWEST_SEEDS}")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def paired_interval(a, b, level=0.95):
    """Return (mean, low, high) of a - b, where `a[i]` and `b[i]` were run with one seed."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} runs are not pairs")
    return interval(np.subtract(a, b), level)


def bootstrap_interval(values, rng, statistic=np.median, level=0.95, draws=4000):
    """Return (statistic, low, high) by the percentile bootstrap: for medians and skewed values."""
    values = np.asarray(values, float)
    if len(values) < FEWEST_SEEDS:
        raise ValueError(f"{len(values)} seeds; an interval needs at least {FEWEST_SEEDS}")
    drawn = statistic(rng.choice(values, (draws, len(values))), axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(values)), float(low), float(high)


def spread(values, level=0.95):
    """Return what a table says of one arm: mean, interval and the seeds' own values."""
    mean, low, high = interval(values, level)
    return {"mean": mean, "low": low, "high": high, "values": [float(v) for v in values]}


def difference(a, b, level=0.95):
    """Return what a table says of two arms: the mean of a - b over the pairs, and its interval."""
    return spread(np.subtract(a, b), level) | {"resolved": _apart(paired_interval(a, b, level))}


def _apart(of):
    _, low, high = of
    return bool(low > 0 or high < 0)


def steps_to(target, losses, every=1):
    """Return the first step at which a loss is at most `target`, fixed in advance, or NaN.

    `losses[i]` was measured after step `every * (i + 1)`.
    """
    return next((float(every * (i + 1)) for i, loss in enumerate(losses) if loss <= target), nan)
