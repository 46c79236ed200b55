"""Which optimizer arrives first depends on the task, and on how it was tuned (C09-C11, C15, C18).

Four optimizers from optlib, each with one budget of rates on its own log grid, on five small tasks.
Each is tuned twice: for the steps to a training loss that was fixed in advance, and for the
validation loss at the end. Fresh splits, starts and batches, the same for all optimizers, then
report the steps and the test loss; and what the rate .001 would have done. Five small tasks are
no sample of all tasks.
"""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch.nn.functional import cross_entropy

from experiments.protocol import difference, log_grid, spread, steps_to, tune
from optlib import corpus
from optlib.models import bigram, logistic, mlp
from optlib.optimizers.adam import Adam
from optlib.optimizers.momentum import Momentum
from optlib.optimizers.rmsprop import RMSprop
from optlib.optimizers.sgd import SGD

SEEDS = (8, 20)
TUNING_SEEDS = (1000, 1001, 1002)  # none of the seeds that are reported
STEPS, EVERY, BATCH_SIZE = 400, 5, 64
LATE = 2.0 * STEPS  # stands for the steps of a run that did not arrive
WORDS, SEEN = 300, 1000  # the vocabulary; the training examples that the training loss is taken on
OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "rmsprop": RMSprop, "adam": Adam}
GRIDS = {
    "sgd": log_grid(0.003, 3, 7),
    "momentum": log_grid(0.0003, 0.3, 7),
    "rmsprop": log_grid(0.0001, 0.1, 7),
    "adam": log_grid(0.0001, 0.1, 7),
}


def documentation(return_X_y=True):
    """Each word of Python's documentation, by its rank, and the word after it."""
    tokens = corpus.words(corpus.documentation())
    ids = corpus.word_ids(tokens, corpus.vocabulary(tokens, WORDS))
    return ids[:-1], ids[1:]


TASKS = {  # data, model, and the training loss to reach: set beforehand, on seeds 77 and 78
    "digits, logistic": (load_digits, logistic, 0.1),
    "digits, mlp": (load_digits, mlp, 0.05),
    "breast cancer, logistic": (load_breast_cancer, logistic, 0.1),
    "breast cancer, mlp": (load_breast_cancer, mlp, 0.05),
    "next word, bigram": (documentation, bigram, 3.4),
}


def run(seeds, full=False):
    return [row for task in TASKS for row in race(task, seeds)]


def race(task, seeds):
    """A row for every optimizer: when it arrives, where it ends, and the same at lr .001."""
    fast = tune(lambda name, lr: np.mean([late(r) for r in trials(task, name, lr)]), GRIDS)
    good = tune(lambda n, lr: np.mean([r["validation"] for r in trials(task, n, lr)]), GRIDS)

    def reported(name, lr, what):
        return [train(task, name, lr, seed)[what] for seed in seeds]

    steps = {name: reported(name, arm.rate, "steps") for name, arm in fast.items()}
    loss = {name: reported(name, arm.rate, "test_loss") for name, arm in good.items()}
    for name in OPTIMIZERS:
        yield {
            "task": task,
            "optimizer": name,
            "target": TASKS[task][2],
            "lr_fast": fast[name].rate,
            "lr_good": good[name].rate,
            "accepted": fast[name].accepted and good[name].accepted,
            "trials_fast": len(fast[name].trials),
            "trials_good": len(good[name].trials),
            "arrived": sum(s < LATE for s in steps[name]),
            "steps": spread(steps[name]),  # LATE: did not arrive
            "steps_more_than_adam": difference(steps[name], steps["adam"]),
            "test_loss": spread(loss[name]),
            "test_loss_above_adam": difference(loss[name], loss["adam"]),
            "test_error_percent": spread(reported(name, good[name].rate, "error_percent")),
            "steps_at_one_thousandth": spread(reported(name, 1e-3, "steps")),
            "test_loss_at_one_thousandth": spread(reported(name, 1e-3, "test_loss")),
        }


def trials(task, optimizer, lr):
    return [train(task, optimizer, lr, seed) for seed in TUNING_SEEDS]


def late(result):
    """The steps to the target; of two that do not arrive, the one that ends lower is better."""
    return result["steps"] + (result["train"] if result["steps"] == LATE else 0)


@cache
def data(load):
    x, y = (torch.tensor(part) for part in load(return_X_y=True))
    return x.float() if x.is_floating_point() else x, y


def split(load, rng):
    """60 % to train on, 20 % to tune on, 20 % to report; scaled by what is trained on alone."""
    x, y = data(load)
    order = torch.randperm(len(x), generator=rng)
    parts = order.tensor_split([int(0.6 * len(x)), int(0.8 * len(x))])
    if x.is_floating_point():
        mean, std = x[parts[0]].mean(0), x[parts[0]].std(0)
        x = (x - mean) / std.clamp(min=1e-3 * float(std.max()))  # a pixel always white becomes 0
    return [(x[rows], y[rows]) for rows in parts]


@cache
def train(task, optimizer, lr, seed):
    """One run: the split, the start and the batches follow from the seed alone."""
    load, model, target = TASKS[task]
    rng = torch.Generator().manual_seed(seed)
    (x, y), validation, test = split(load, rng)
    classes = WORDS if model is bigram else int(y.max()) + 1
    w = model(classes if model is bigram else x.shape[1], classes, seed=seed)
    step = OPTIMIZERS[optimizer](w.parameters(), lr=lr)
    losses = []
    for t in range(1, STEPS + 1):
        rows = torch.randint(len(x), (BATCH_SIZE,), generator=rng)
        step.zero_grad()
        cross_entropy(w(x[rows]), y[rows]).backward()
        step.step()
        if t % EVERY == 0:
            losses.append(evaluate(w, x[:SEEN], y[:SEEN])[0])
    test_loss, error_percent = evaluate(w, *test)
    return {
        "steps": np.nan_to_num(steps_to(target, losses, EVERY), nan=LATE),
        "train": np.nan_to_num(losses[-1], nan=np.inf),
        "validation": evaluate(w, *validation)[0],
        "test_loss": test_loss,
        "error_percent": error_percent,
    }


@torch.no_grad()
def evaluate(w, x, y):
    """The mean loss, and how many of a hundred are wrong."""
    scores = w(x)
    return float(cross_entropy(scores, y)), 100 * float((scores.argmax(1) != y).float().mean())
