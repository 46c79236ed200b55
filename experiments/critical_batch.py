"""How many steps a larger batch saves, and until which size (C42, C43, C45).

Steps to a training loss that was fixed in advance, at batch sizes from small to large, each with a
tuned constant rate of its own, for SGD and Adam, on digits and on the next letter of a text. To
these steps S = S_min (1 + B_c / B) is fitted; its B_c is the critical batch size: there steps and
examples are both twice the least. Beside it: how the best rate grows with B, and how far one comes
by scaling the rate of the smallest batch linearly, or by the square root, without a warm-up.
The intervals are over seeds; the factor 2 between the rates tried is in none of them. B_c belongs
to this model, this data, this target: it says nothing of another's.
"""

from itertools import groupby

import numpy as np
from scipy.optimize import curve_fit

from experiments.protocol import bootstrap_interval, log_grid, spread
from experiments.side_by_side import (
    descend,
    digits,
    evaluate,
    random_batches,
    text,
    tune_together,
)
from optlib import figures
from optlib.large_batch.scaling import relative_steps, scaled_lr
from optlib.optimizers.adam import Adam
from optlib.optimizers.sgd import SGD
from optlib.schedules.decay import constant

SEEDS = (8, 20)
TUNING_SEEDS = (1000, 1001, 1002, 1003, 1004)  # none of the seeds that are reported
SEEN = 1024  # training examples that the training loss is taken on
LONGEST, PATIENCE = 8000, 1.5
LATE = 2.5  # times the steps of the tuning: who needs more did not arrive
CHECKED = 1.05  # each time that the loss is looked at over the one before
SLACK = 1.25  # a rule for the rate holds while it costs at most a quarter more steps
ARMS = {  # task, the loss to reach, batch sizes, optimizer, rates
    "digits, sgd": (digits, 0.1, (4, 16, 64, 256, 1024), SGD, log_grid(0.05, 3.2, 7)),
    "digits, adam": (digits, 0.1, (4, 16, 64, 256, 1024), Adam, log_grid(0.004, 0.256, 7)),
    "text, sgd": (text, 2.4, (32, 128, 512, 2048), SGD, log_grid(0.05, 6.4, 8)),
    "text, adam": (text, 2.4, (32, 128, 512, 2048), Adam, log_grid(0.002, 0.128, 7)),
}
PARTS = tuple(ARMS)


def run(seeds, full=False, part=None):
    return list(scaling(part, seeds))


def picture(rows):
    """Steps over the fewest, batch size over the critical one: where one curve fits, all agree."""
    share = np.geomspace(0.02, 50)
    lines = {"$1 + B_c / B$": (share, relative_steps(share, 1.0))}
    for fit in (r for r in rows if r["what"] == "fit"):
        measured = [r for r in rows if r["what"] == "batch size" and r["arm"] == fit["arm"]]
        lines[fit["arm"]] = (
            [r["batch_size"] / fit["critical"]["middle"] for r in measured],
            [r["steps"]["mean"] / fit["fewest_steps"] for r in measured],
        )
    return figures.curves(
        lines, xlabel="$B / B_c$", ylabel="$S / S_{min}$", xscale="log", yscale="log"
    )


def scaling(arm, seeds):
    """A row for every batch size, and one for the curve through them."""
    _, target, sizes, _, grid = ARMS[arm]
    longest, tried = dict.fromkeys(sizes, LONGEST), {size: {} for size in sizes}

    def scores(trials):
        found = []
        for size, of_size in groupby(trials, key=lambda trial: trial[0]):
            rates = [rate for _, rate in of_size]
            steps = race(arm, size, rates, TUNING_SEEDS, longest[size], PATIENCE)
            longest[size] = min(longest[size], int(PATIENCE * steps.max(axis=1).min()))
            tried[size].update(zip(rates, steps))
            found += list(steps.mean(axis=1))
        return found

    tuned = tune_together(scores, dict.fromkeys(sizes, grid))
    steps, reached = [], {"linear": [], "sqrt": []}
    for size, of in tuned.items():
        by_rule = {r: scaled_lr(tuned[sizes[0]].rate, size, sizes[0], r) for r in reached}
        rates = list(dict.fromkeys([of.rate, *by_rule.values()]))  # all one at the smallest size
        found = dict(zip(rates, race(arm, size, rates, seeds, int(LATE * of.score))))
        own = found[of.rate]
        steps.append(own)
        row = {
            "what": "batch size",
            "arm": arm,
            "target": target,
            "batch_size": size,
            "lr": of.rate,
            "accepted": of.accepted,
            "trials": len(of.trials),
            "arrived": int(np.sum(own <= LATE * of.score)),
            "steps": spread(own),
            "examples": spread(size * own),
        }
        for rule, lr in by_rule.items():
            its = found[lr]
            arrived = int(np.sum(its <= LATE * of.score))
            more = spread(its / own) if arrived == len(seeds) else None
            reached[rule].append(more is not None and more["mean"] <= SLACK)
            row |= {f"lr_{rule}": lr, f"arrived_{rule}": arrived, f"steps_{rule}_over_tuned": more}
        yield row
    yield {
        "what": "fit",
        "arm": arm,
        "target": target,
        **fitted(np.array(sizes), np.array(steps)),
        **exponents(sizes, tried),
        **{f"{rule}_holds_to": sizes[(holds + [False]).index(False) - 1]
           for rule, holds in reached.items()},
    }  # fmt: skip


def race(arm, size, rates, seeds, longest, patience=np.inf):
    """The steps to the target, rates by seeds; of a run that does not arrive, twice the longest.

    The race ends `patience` times after a rate has brought all seeds home: the others have lost.
    """
    make, target, _, optimizer, _ = ARMS[arm]
    task = make(seeds)
    seen = [z[:, :: max(1, z.shape[1] // SEEN)] for z in task.train]
    steps = np.full((len(rates), len(seeds)), 2.0 * longest)
    schedules = [lambda t, lr=lr: constant(t, lr) for lr in rates]
    batches = random_batches(task, seeds, size, longest)
    look = 1
    for t, weights in enumerate(descend(task, optimizer, seeds, schedules, batches), 1):
        if t < look:
            continue
        look = max(t + 1, CHECKED * t)
        losses = evaluate(task, weights, seen)[0]
        steps[(losses <= target) & (steps > longest)] = t
        on_way = (steps > longest) & np.isfinite(losses)
        if not on_way.any() or t >= patience * steps.max(axis=1).min():
            break
    return steps


def fitted(sizes, steps):
    """S_min and B_c by least squares in log S, and the worst misfit; `steps` is sizes by seeds."""

    def log_steps(size, log_fewest, log_critical):
        return log_fewest + np.log(relative_steps(size, np.exp(log_critical)))

    def fit(chosen):
        logs = np.log(steps[:, chosen.astype(int)].mean(axis=1))
        return curve_fit(log_steps, sizes, logs, p0=(logs[-1], np.log(np.median(sizes))))[0]

    all_seeds = np.arange(steps.shape[1])
    found = fit(all_seeds)
    off = np.exp(np.log(steps.mean(axis=1)) - log_steps(sizes, *found))
    return {
        "fewest_steps": np.exp(found[0]),
        "critical": over_seeds(lambda chosen: np.exp(fit(chosen)[1]), len(all_seeds)),
        "measured_over_fitted": off,
    }


def exponents(sizes, tried):
    """How the best rate grows with the batch size: the slope of the logs, at either end."""
    logs = {size: (np.log(sorted(of)), np.log([of[r] for r in sorted(of)]))
            for size, of in tried.items()}  # fmt: skip

    def slope(chosen, of):
        best = [lowest(logs[s][0], logs[s][1][:, chosen.astype(int)].mean(axis=1)) for s in of]
        return np.polyfit(np.log(of), best, 1)[0]

    return {
        f"exponent_{name}": over_seeds(lambda chosen, of=of: slope(chosen, of), len(TUNING_SEEDS))
        for name, of in {"small": sizes[:3], "large": sizes[-3:]}.items()
    }


def lowest(x, y):
    """Where the parabola through the lowest point and its two neighbours is lowest."""
    i = int(np.clip(np.argmin(y), 1, len(y) - 2))
    (x0, x1, x2), (y0, y1, y2) = x[i - 1 : i + 2], y[i - 1 : i + 2]
    a, b, _ = np.polyfit([x0, x1, x2], [y0, y1, y2], 2)
    return np.clip(-b / (2 * a), x0, x2)


def over_seeds(of_chosen, count):
    """A number that all seeds give together, with a bootstrap interval."""
    middle, low, high = bootstrap_interval(
        np.arange(count), np.random.default_rng(0),
        lambda chosen, axis=0: np.apply_along_axis(of_chosen, axis, chosen), draws=1000,
    )  # fmt: skip
    return {"middle": middle, "low": low, "high": high}
