"""Which optimizer arrives first depends on the task, and on how it was tuned (C09-C11, C15, C18).

Four optimizers from optlib, each with one budget of rates on its own log grid, on six small tasks,
the last a small causal transformer on the characters of Python's documentation. Each is tuned
twice: for the steps to a training loss that was fixed in advance, and for the validation loss at
the end. Fresh splits, starts and batches, the same for all optimizers, then report the steps and
the test loss; and what the rate .001 would have done. Six small tasks are no sample of all tasks,
and 400 steps say nothing of long training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from experiments.protocol import difference, log_grid, spread, steps_to, tune
from optlib import corpus, figures
from optlib.models import bigram, logistic, mlp, seeded
from optlib.optimizers.adam import Adam
from optlib.optimizers.momentum import Momentum
from optlib.optimizers.rmsprop import RMSprop
from optlib.optimizers.sgd import SGD

SEEDS = (8, 20)
TUNING_SEEDS = (1000, 1001, 1002)  # none of the seeds that are reported
STEPS = 400
LATE = 2.0 * STEPS  # stands for the steps of a run that did not arrive
WORDS, CONTEXT = 300, 32  # the bigram's vocabulary; the transformer's places
OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "rmsprop": RMSprop, "adam": Adam}
GRIDS = {
    "sgd": log_grid(0.003, 3, 7),
    "momentum": log_grid(0.0003, 0.3, 7),
    "rmsprop": log_grid(0.0001, 0.1, 7),
    "adam": log_grid(0.0001, 0.1, 7),
}


class Block(nn.Module):
    """Causal attention, then a layer on every place; each reads a norm of what it adds to."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm, self.norm_after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attend(self.query_key_value(self.norm(x)))
        return x + self.down(torch.relu(self.up(self.norm_after(x))))

    def attend(self, qkv):
        query, key, value = (  # (windows, heads, places, width / heads)
            part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in qkv.chunk(3, -1)
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -torch.inf).softmax(-1) @ value
        return self.out(mixed.transpose(-2, -3).flatten(-2))


class Transformer(nn.Module):
    """Windows of characters (windows, places) to scores (windows, characters, places)."""

    def __init__(self, characters, width=32, heads=2, blocks=1):
        super().__init__()
        self.character = nn.Embedding(characters, width)
        self.place = nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, characters)

    def forward(self, x):
        x = self.character(x) + self.place.weight
        return self.head(self.norm(self.blocks(x))).transpose(-1, -2)


def transformer(inputs, classes, seed=0):
    return seeded(Transformer(classes), seed)


def digits():
    return load_digits(return_X_y=True)


def breast_cancer():
    return load_breast_cancer(return_X_y=True)


def next_word():
    """Each word of Python's documentation, by its rank, and the word after it."""
    tokens = corpus.words(corpus.documentation())
    ids = corpus.word_ids(tokens, corpus.vocabulary(tokens, WORDS))
    return ids[:-1], ids[1:]


def next_character():
    """Windows of Python's documentation, none on another, and the same one character later."""
    _, ids = np.unique(list(corpus.documentation()), return_inverse=True)
    windows = ids[: len(ids) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
    return windows[:, :-1], windows[:, 1:]


@dataclass(frozen=True)
class Task:
    load: Callable
    model: Callable
    target: float  # the training loss to reach: set beforehand, on seeds 77 and 78
    batch_size: int = 64
    every: int = 5  # steps between two looks at the training loss
    seen: int = 1000  # training examples that the training loss is taken on
    held: int = 8000  # validation and test examples, at most


TASKS = {
    "digits, logistic": Task(digits, logistic, 0.1),
    "digits, mlp": Task(digits, mlp, 0.05),
    "breast cancer, logistic": Task(breast_cancer, logistic, 0.1),
    "breast cancer, mlp": Task(breast_cancer, mlp, 0.05),
    "next word, bigram": Task(next_word, bigram, 3.4),
    "next character, transformer": Task(next_character, transformer, 2.65, 8, 10, 80, 250),
}
PARTS = tuple(TASKS)


def run(seeds, full=False, part=None):
    return [row for task in ([part] if part else PARTS) for row in race(task, tuple(seeds))]


def picture(rows):
    """When each optimizer, tuned for it, arrives at the target."""
    names = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "rmsprop": "RMSprop"}
    steps = {}
    for name, shown in names.items():
        of = {row["task"]: row["steps"] for row in rows if row["optimizer"] == name}
        steps[shown] = {task: (s["low"], s["mean"], s["high"]) for task, s in of.items()}
    return figures.ranges(steps, xlabel=f"steps to the target ({LATE:g}: did not arrive)")


def race(task, seeds):
    """A row for every optimizer: when it arrives, where it ends, and the same at lr .001."""
    fast = tune(lambda name, lr: late(train(task, name, lr, TUNING_SEEDS)).mean(), GRIDS)
    good = tune(lambda n, lr: train(task, n, lr, TUNING_SEEDS)["validation"].mean(), GRIDS)

    def reported(name, lr, what):
        return train(task, name, lr, seeds)[what]

    steps = {name: reported(name, arm.rate, "steps") for name, arm in fast.items()}
    loss = {name: reported(name, arm.rate, "test_loss") for name, arm in good.items()}
    for name in OPTIMIZERS:
        yield {
            "task": task,
            "optimizer": name,
            "target": TASKS[task].target,
            "lr_fast": fast[name].rate,
            "lr_good": good[name].rate,
            "accepted": fast[name].accepted and good[name].accepted,
            "trials_fast": len(fast[name].trials),
            "trials_good": len(good[name].trials),
            "arrived": int(sum(steps[name] < LATE)),
            "steps": spread(steps[name]),  # LATE: did not arrive
            "steps_more_than_adam": difference(steps[name], steps["adam"]),
            "test_loss": spread(loss[name]),
            "test_loss_above_adam": difference(loss[name], loss["adam"]),
            "test_error_percent": spread(reported(name, good[name].rate, "error_percent")),
            "steps_at_one_thousandth": spread(reported(name, 1e-3, "steps")),
            "test_loss_at_one_thousandth": spread(reported(name, 1e-3, "test_loss")),
        }


def late(results):
    """The steps to the target; of two that do not arrive, the one that ends lower is better."""
    return results["steps"] + np.where(results["steps"] == LATE, results["train"], 0)


@cache
def data(load):
    x, y = (torch.tensor(part) for part in load())
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
def material(task, seed):
    """What follows from the seed alone: training, validation and test data, and the batches."""
    rng = torch.Generator().manual_seed(seed)
    (x, y), *held = split(task.load, rng)
    batches = torch.randint(len(x), (STEPS, task.batch_size), generator=rng)
    seen, held = (
        (x[: task.seen], y[: task.seen]),
        [(a[: task.held], b[: task.held]) for a, b in held],
    )
    return (x[batches], y[batches]), seen, *held


@cache
def train(task, optimizer, lr, seeds):
    """Train a model for every seed, each on data of its own; return what -> values by seed.

    The optimizers treat every number apart, so stacked models are trained as if one by one.
    """
    task = TASKS[task]
    batches, seen, validation, test = (
        [torch.stack(part) for part in zip(*of)]
        for of in zip(*(material(task, seed) for seed in seeds))
    )
    x, y = data(task.load)
    classes = int(y.max()) + 1
    inputs = x.shape[1] if x.is_floating_point() else classes
    models = [task.model(inputs, classes, seed=seed) for seed in seeds]
    w, _ = stack_module_state(models)
    predict = vmap(lambda w, x: functional_call(models[0], w, (x,)))
    step = OPTIMIZERS[optimizer](w.values(), lr=lr)
    losses = []
    for t in range(STEPS):
        step.zero_grad()
        by_seed(predict(w, batches[0][:, t]), batches[1][:, t]).sum().backward()
        step.step()
        if (t + 1) % task.every == 0:
            losses.append(evaluate(predict, w, *seen)[0])
    test_loss, error_percent = evaluate(predict, w, *test)
    return {
        "steps": np.nan_to_num(
            [steps_to(task.target, of, task.every) for of in zip(*losses)], nan=LATE
        ),
        "train": np.nan_to_num(losses[-1], nan=np.inf),
        "validation": evaluate(predict, w, *validation)[0],
        "test_loss": test_loss,
        "error_percent": error_percent,
    }


def by_seed(scores, y):
    """The mean loss of every model, from scores (seeds, examples, classes, ...)."""
    losses = cross_entropy(scores.flatten(0, 1), y.flatten(0, 1), reduction="none")
    return losses.unflatten(0, y.shape[:2]).flatten(1).mean(1)


@torch.no_grad()
def evaluate(predict, w, x, y):
    """The mean loss of every model, and how many of a hundred predictions are wrong."""
    scores = predict(w, x)
    wrong = (scores.argmax(2) != y).float().flatten(1).mean(1)
    return by_seed(scores, y).double().numpy(), 100 * wrong.double().numpy()
