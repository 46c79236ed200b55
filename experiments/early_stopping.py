"""Stopping at the first rise is too early by the test loss, not always by the error (C39, C40).

Two hundred digits to train on, 0 or 15 % of them with a wrong label, and a hundred to validate on,
labelled as well as those of the test. One run per seed at a tuned rate (for the wrong labels also
at a tenth of it, where curves are smoother), and every criterion judges its curves: patience 1 (the
first rise) to 20, Prechelt's GL, PQ and UP, no stopping. How often the loss rises before its
minimum; the test loss, the test error and the epochs of each criterion, paired by seed. All but
"last weights" keep the best weights so far. A validation set of a hundred is small: the loss on a
larger one rises less by chance.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from experiments.digits import evaluate, split
from experiments.protocol import difference, log_grid, spread, tune
from optlib.models import mlp
from optlib.optimizers.momentum import Momentum
from optlib.regularization.early_stopping import (
    EarlyStopping,
    generalization_loss,
    progress_quotient,
)

SEEDS = (20, 100)
TUNING_SEEDS = (1000, 1001, 1002)  # none of the seeds that are reported
PARTS = {  # the share of wrong labels in the training set, and of the tuned rate
    "right labels": (0.0, 1.0),
    "wrong labels": (0.15, 1.0),
    "wrong labels, a tenth of the rate": (0.15, 0.1),
}
TRAINING, VALIDATION, BATCH_SIZE, EPOCHS = 200, 100, 50, 300
STRIP = 5  # the epochs from one look to the next in UP, and those that PQ averages over
GRID = log_grid(0.001, 0.1, 5)


def patience(k):
    def stops(val, train):
        stopping = EarlyStopping(k)
        return [stopping.update(loss) for loss in val][-1]

    return stops


def gl(limit):
    return lambda val, train: generalization_loss(val) > limit


def pq(limit):
    return lambda val, train: len(train) >= STRIP and progress_quotient(val, train, STRIP) > limit


def up(s):
    """Prechelt's UP: the loss at the end of a strip is a rise, for the s-th time in a row."""

    def stops(val, train):
        ends = val[STRIP - 1 :: STRIP]
        rises = [later > earlier for earlier, later in zip(ends, ends[1:])]
        return len(rises) >= s and all(rises[-s:])

    return stops


def never(val, train):
    return False


CRITERIA = {
    "last weights": never,
    "best of all epochs": never,
    **{f"patience {k}": patience(k) for k in (1, 2, 3, 5, 10, 20)},
    **{f"GL {limit}": gl(limit) for limit in (1, 2, 5)},
    **{f"PQ {limit}": pq(limit) for limit in (0.5, 1, 2)},
    **{f"UP {s}": up(s) for s in (1, 2, 3, 4)},
}


def run(seeds, full=False, part=None):
    return [row for name in ([part] if part else PARTS) for row in judge(name, seeds)]


def judge(part, seeds):
    """A row for the curves, then one for every criterion."""
    noise, share = PARTS[part]

    def validate(_, lr):
        return np.mean([min(train(noise, lr, seed)["val"]) for seed in TUNING_SEEDS])

    tuned = tune(validate, {"momentum": GRID})["momentum"]
    curves = [train(noise, share * tuned.rate, seed) for seed in seeds]
    minima = [int(np.argmin(c["val"])) for c in curves]
    rises = [int((np.diff(c["val"][: m + 1]) > 0).sum()) for c, m in zip(curves, minima)]
    yield {
        "what": "curves", "part": part, "noise": noise, "lr": share * tuned.rate,
        "lr_tuned": tuned.rate, "accepted": tuned.accepted,
        "trials": len(tuned.trials), "epochs": EPOCHS, "seeds": len(seeds),
        "epochs_to_minimum": spread([m + 1 for m in minima]),
        "rises_before_minimum": spread(rises),
        "seeds_with_a_rise_before": sum(r > 0 for r in rises),
        "last_train_loss": spread([c["train"][-1] for c in curves]),
    }  # fmt: skip
    found = {name: [outcome(name, c) for c in curves] for name in CRITERIA}
    for name, results in found.items():
        row = {"what": "criterion", "part": part, "criterion": name,
               "stopped": sum(r["epochs"] < EPOCHS for r in results)}  # fmt: skip
        for what in ("epochs", "test_loss", "test_error"):
            here, first, last = (
                [r[what] for r in found[other]] for other in (name, "patience 1", "last weights")
            )
            row |= {what: spread(here), f"{what}_above_first_rise": difference(here, first),
                    f"{what}_above_last_weights": difference(here, last)}  # fmt: skip
        yield row


def outcome(name, curves):
    """The epochs that a criterion spends, and the test results of the weights that it keeps."""
    val = curves["val"]
    epochs = stop_epoch(CRITERIA[name], val, curves["train"])
    kept = epochs - 1 if name == "last weights" else int(np.argmin(val[:epochs]))
    return {"epochs": epochs} | {what: curves[what][kept] for what in ("test_loss", "test_error")}


def stop_epoch(stops, val, train):
    """The number of epochs after which `stops` says so for the first time, or all."""
    ends = range(1, len(val) + 1)
    return next((t for t in ends if stops(val[:t], train[:t])), len(val))


def train(noise, lr, seed):
    """The losses after every epoch; split, wrong labels, start and batches follow from the seed."""
    rng = torch.Generator().manual_seed(seed)
    (x, y), validation, test = split(rng, TRAINING, VALIDATION)
    y = with_wrong_labels(y, noise, rng)
    model = mlp(64, 10, seed=seed)
    step = Momentum(model.parameters(), lr=lr)
    curves = {what: [] for what in ("train", "val", "test_loss", "test_error")}
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=rng).split(BATCH_SIZE):
            step.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            step.step()
        test_loss, test_error = evaluate(model, *test)
        curves["train"].append(evaluate(model, x, y)[0])
        curves["val"].append(evaluate(model, *validation)[0])
        curves["test_loss"].append(test_loss)
        curves["test_error"].append(test_error)
    return curves


def with_wrong_labels(y, share, rng):
    """The labels with `share` of them, at random places, replaced by another digit."""
    wrong = torch.randperm(len(y), generator=rng)[: round(share * len(y))]
    other = y.clone()
    other[wrong] = (y[wrong] + torch.randint(1, 10, wrong.shape, generator=rng)) % 10
    return other


def picture(rows):
    from optlib.figures import curves

    lines = {}
    wanted = [row for row in rows if row["part"].endswith("a tenth of the rate")]
    for family in ("patience", "GL", "PQ", "UP"):
        arms = [row for row in wanted if row.get("criterion", "").startswith(family)]
        epochs = [row["epochs"]["mean"] for row in arms]
        lines[family] = (epochs, [row["test_loss"]["mean"] for row in arms])
    return curves(lines, xlabel="epochs spent (mean)", ylabel="test loss (mean)")
