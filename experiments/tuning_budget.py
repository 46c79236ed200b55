"""Whether Adam beats momentum or SGD depends on how many rates each may try (C10, C18).

The race's tasks, on a grid of rates four decades wide for each optimizer, the ranges fixed in
advance: [1e-4, 1] for Adam, [1e-3, 10] for momentum, [1e-2, 100] for SGD. Whoever may try k rates
draws them at random from the grid, keeps the one with the least validation loss and reports its
test loss. How likely Adam's is the lower one follows exactly from the table of outcomes: no draw is
simulated. The interval is a bootstrap over seeds; where all of them agree it has no width, which is
not certainty. Another range would give other numbers, and six small tasks are no sample of all.
"""

import numpy as np

from experiments.optimizer_race import PARTS, train
from experiments.protocol import bootstrap_interval, log_grid
from optlib import figures

SEEDS = (12, 20)
TEXT_SEEDS = 5  # on text seeds differ less, and a run takes longer
GRIDS = {
    "adam": log_grid(1e-4, 1, 9),
    "momentum": log_grid(1e-3, 10, 9),
    "sgd": log_grid(1e-2, 100, 9),
}
BUDGETS = (1, 2, 3, 5, 8, 16, 64)


def run(seeds, full=False, part=None):
    rows = []
    for task in [part] if part else PARTS:
        fewer = task.startswith("next") and not full
        rows += study(task, tuple(seeds[:TEXT_SEEDS] if fewer else seeds))
    return rows


def study(task, seeds):
    """The outcome of every rate, then the probabilities for every rival and budget."""
    table = {name: outcomes(task, name, seeds) for name in GRIDS}
    for name, (validation, test) in table.items():
        for i, lr in enumerate(GRIDS[name]):
            yield {"what": "outcome", "task": task, "optimizer": name, "lr": lr,
                   "validation_loss": validation[:, i], "test_loss": test[:, i]}  # fmt: skip
    for rival in ("momentum", "sgd"):
        for k in BUDGETS:
            yield {"what": "probability", "task": task, "against": rival, "k": k,
                   **beats(table["adam"], table[rival], k)}  # fmt: skip


def outcomes(task, optimizer, seeds):
    """Validation and test losses, (seed, rate); infinite for a run that diverged."""
    runs = [train(task, optimizer, lr, seeds) for lr in GRIDS[optimizer]]
    return [
        np.nan_to_num(np.stack([run[what] for run in runs], axis=1), nan=np.inf)
        for what in ("validation", "test_loss")
    ]


def beats(ours, theirs, k):
    """How likely our best of k rates has the lower test loss, by seed; the mean, its interval."""
    values = [
        float(wins(a_test, b_test, chosen(a_validation, k), chosen(b_validation, k)))
        for a_validation, a_test, b_validation, b_test in zip(*ours, *theirs)
    ]
    mean, low, high = bootstrap_interval(values, np.random.default_rng(0), np.mean)
    return {"mean": mean, "low": low, "high": high, "values": values}


def chosen(validation, k):
    """How likely each rate is the best, by validation, of k drawn with replacement."""
    n = len(validation)
    better = np.argsort(np.argsort(validation, kind="stable"))  # how many rates are better
    return ((n - better) / n) ** k - ((n - better - 1) / n) ** k


def wins(a, b, a_chosen, b_chosen):
    """How likely a drawn `a` is below a drawn `b`; of two equal ones each wins half."""
    below = (a[:, None] < b) + 0.5 * (a[:, None] == b)
    return a_chosen @ below @ b_chosen


def picture(rows, against="momentum"):
    """How likely Adam's best of k rates is the better, a curve for every task."""
    lines = {}
    for row in rows:
        if row["what"] == "probability" and row["against"] == against:
            name = row["task"].replace("breast ", "").removeprefix("next word, ")
            k, likely = lines.setdefault(name.removeprefix("next character, "), ([], []))
            k.append(row["k"])
            likely.append(row["mean"])
    return figures.curves(
        lines,
        xlabel="rates that each optimizer may try",
        ylabel=f"P(Adam below {against})",
        xscale="log",
        ylim=(0, 1.02),
        level=0.5,
    )
