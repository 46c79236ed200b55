"""LARS and LAMB beside tuned standard optimizers, on few steps of large batches (C49, C50, E16).

Sixty steps with warmup and cosine: handwritten digits, all training examples in every batch, and
the race's small transformer, 2048 characters in a batch, once with its embeddings drawn as torch
does, at standard deviation 1, and once at .1. Momentum, Nesterov, Adam, LARS and LAMB, each with
its rate tuned on validation; test and training loss on seeds that all share. And what the
layer-wise rules do: the trust ratio of every weight matrix, early, midway and at the end.
No weight decays. LARS and LAMB leave biases and norm layers unscaled, at the same lr, so LARS has
a trust coefficient of .02 (its paper's, for batch norm networks, is .001). These batches are small
beside the 32,000 images or 65,536 sequences of the papers, and say nothing about those sizes.
"""

from functools import cache, partial

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from experiments.optimizer_race import digits, next_character, split, transformer
from experiments.protocol import difference, log_grid, spread, tune
from optlib import figures
from optlib.large_batch.lamb import LAMB, lamb
from optlib.large_batch.lars import LARS, lars
from optlib.models import mlp
from optlib.optimizers.adam import Adam, adam
from optlib.optimizers.momentum import Momentum, Nesterov, momentum
from optlib.parameter_groups import norms_and_biases_apart
from optlib.schedules.adapter import lambda_lr
from optlib.schedules.warmup import warmup_cosine

SEEDS = (10, 30)
TUNING_SEEDS = (1000, 1001, 1002)  # none of the seeds that are reported
STEPS, WARMUP = 60, 6
TRUST = 0.02
MOMENTS = {"early": 1, "midway": STEPS // 2, "end": STEPS}  # after which step ratios are kept


def small_embeddings(inputs, classes, seed=0):
    model = transformer(inputs, classes, seed)
    with torch.no_grad():
        for table in (model.character.weight, model.place.weight):
            table.mul_(0.1)
    return model


TASKS = {  # data, model, examples in a batch (None: all), examples that losses are taken on
    "digits, full batch": (digits, mlp, None, 2000),
    "next character, transformer": (next_character, transformer, 64, 250),
    "next character, small embeddings": (next_character, small_embeddings, 64, 250),
}
PARTS = tuple(TASKS)
GRIDS = {
    "momentum": log_grid(0.02, 5.12, 9),
    "nesterov": log_grid(0.02, 5.12, 9),
    "adam": log_grid(0.002, 0.512, 9),
    "lars": log_grid(0.04, 10.24, 9),
    "lamb": log_grid(0.004, 1.024, 9),
}


def optimizer(name, model, lr):
    if name in ("lars", "lamb"):
        groups = norms_and_biases_apart(model, adapt=False)
        if name == "lars":
            return LARS(groups, lr=lr, trust=TRUST)
        return LAMB(groups, lr=lr, weight_decay=0.0)
    return {"momentum": Momentum, "nesterov": Nesterov, "adam": Adam}[name](
        model.parameters(), lr=lr
    )


def run(seeds, full=False, part=None):
    return [row for task in ([part] if part else PARTS) for row in compare(task, tuple(seeds))]


def compare(task, seeds):
    """A row for every optimizer, then one for every layer under LARS and LAMB."""
    tuned = tune(lambda name, lr: mean(task, name, lr, "validation_loss"), GRIDS)
    results = {n: [train(task, n, arm.rate, seed) for seed in seeds] for n, arm in tuned.items()}

    def values(name, what):
        return [result[what] for result in results[name]]

    for name, arm in tuned.items():
        row = {"what": "optimizer", "task": task, "optimizer": name, "lr": arm.rate,
               "accepted": arm.accepted, "trials": len(arm.trials)}  # fmt: skip
        for what in ("train_loss", "test_loss", "test_error_percent"):
            row[what] = spread(values(name, what))
            for other in ("adam", "nesterov"):
                row[f"{what}_above_{other}"] = difference(values(name, what), values(other, what))
        yield row
    for name in ("lars", "lamb"):
        ratios = values(name, "trust_ratios")
        for layer in ratios[0]:
            moments = {when: spread([of[layer][when] for of in ratios]) for when in MOMENTS}
            yield {"what": "trust ratio", "task": task, "optimizer": name,
                   "layer": layer, **moments}  # fmt: skip


def mean(task, name, lr, what):
    return np.mean([train(task, name, lr, seed)[what] for seed in TUNING_SEEDS])


def picture(rows):
    """Test loss as a multiple of Adam's, by task; the interval is of the paired difference."""
    names = dict(zip(PARTS, ("digits", "transformer", "smaller embeddings")))
    table = {(r["task"], r["optimizer"]): r for r in rows if r["what"] == "optimizer"}
    groups = {name: {} for name in names.values()}
    for (task, optimizer), row in table.items():
        if optimizer != "adam":
            adam, above = table[task, "adam"]["test_loss"]["mean"], row["test_loss_above_adam"]
            groups[names[task]][optimizer] = [
                (adam + above[end]) / adam for end in ("low", "mean", "high")
            ]
    return figures.ranges(groups, xlabel="test loss after 60 steps, over Adam's", level=1)


@cache
def train(task, name, lr, seed):
    """One run: the split, the start and the batches follow from the seed alone."""
    load, make, batch_size, most = TASKS[task]
    rng = torch.Generator().manual_seed(seed)
    (x, y), validation, test = split(load, rng)
    classes = int(y.max()) + 1
    model = make(x.shape[1], classes, seed=seed)
    step = optimizer(name, model, lr)
    scheduler = lambda_lr(
        step, partial(warmup_cosine, warmup_steps=WARMUP, total_steps=STEPS, lr_max=lr)
    )
    ratios = {}
    for t in range(1, STEPS + 1):
        rows = slice(None)
        if batch_size:
            rows = torch.randint(len(x), (batch_size,), generator=rng)
        step.zero_grad()
        cross_entropy(model(x[rows]), y[rows]).backward()
        if name in ("lars", "lamb") and t in MOMENTS.values():
            ratios[t] = trust_ratios(name, model, step)
        step.step()
        scheduler.step()
    test_loss, error = evaluate(model, test, most)
    return {
        "train_loss": evaluate(model, (x, y), most)[0],
        "validation_loss": evaluate(model, validation, most)[0],
        "test_loss": test_loss,
        "test_error_percent": error,
        "trust_ratios": {
            layer: {when: ratios[t][layer] for when, t in MOMENTS.items()}
            for layer in ratios.get(1, ())
        },
    }


@torch.no_grad()
def trust_ratios(name, model, step):
    """Of every weight matrix: the length of the next step over that of the unscaled rule."""
    scaled = {id(w) for w in step.param_groups[0]["params"]}
    return {
        layer: layer_ratio(name, w, w.grad, step.state_of(w))
        for layer, w in model.named_parameters()
        if id(w) in scaled
    }


def layer_ratio(name, w, g, state):
    if name == "lars":  # without its velocity: what one gradient is multiplied by
        new, plain = lars(w, g, 0 * w, trust=TRUST), momentum(w, g, 0 * w, lr=1.0)
    else:
        memory = state["m"], state["v"], state["t"] + 1
        new = lamb(w, g, *memory, lr=1.0, weight_decay=0.0)
        plain = adam(w, g, *memory, lr=1.0, eps=1e-6)
    return float((new[0] - w).norm() / (plain[0] - w).norm())


@torch.no_grad()
def evaluate(model, data, most):
    """The mean loss, and how many of a hundred predictions are wrong, on `most` examples."""
    x, y = (part[:most] for part in data)
    scores = model(x)
    return float(cross_entropy(scores, y)), 100 * float((scores.argmax(1) != y).float().mean())
