"""An L2 penalty inside Adam against decoupled decay, and which lambda is good (C28-C32, E09).

Maps of the validation loss over learning rate and decay: with the penalty lambda * sum(w**2) in
the loss that Adam minimizes, and with AdamW's decay beside Adam's step. How the best decay changes
with the learning rate is the slope of log best decay against log rate, once for the weight_decay
of torch, which is multiplied by the rate, and once for the product of the two, as in the paper.
Then the lambda that is best for handwritten digits and for characters, with few and with many
training examples, and what lambda 1e-2 and 1e-4 cost. All parameters decay, biases too.
Two data sets and two small models: how far the best lambdas lie apart, not where yours is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from experiments.optimizer_race import by_seed, evaluate
from experiments.protocol import difference, log_grid, spread, tune
from optlib import corpus, figures
from optlib.models import mlp, seeded
from optlib.optimizers.adam import Adam, AdamW
from optlib.regularization.penalties import l2_penalty

SEEDS = (8, 20)
TUNING_SEEDS = tuple(range(1000, 1005))  # none of the seeds that are reported
CONTEXT = 8


def digits(count, rng):
    """`count` digits to train on, 300 to tune on, 297 to report."""
    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=rng)
    x, y = torch.tensor(bunch.data).float() / 16, torch.tensor(bunch.target)
    return [(x[rows], y[rows]) for rows in (order[:count], order[1200:1500], order[1500:])]


@cache
def characters():
    """Python's documentation: the first 80 % to train on, 10 % to tune on, 10 % to report."""
    _, ids = np.unique(list(corpus.documentation()), return_inverse=True)
    return [torch.tensor(part) for part in corpus.split(ids, 0.8, 0.1)]


def text(count, rng):
    """`count` neighbouring characters to train on, 4000 places each to tune on and to report."""
    train, *held = characters()
    start = int(torch.randint(len(train) - count + 1, (), generator=rng))
    places = [torch.randint(len(part) - CONTEXT, (4000,), generator=rng) for part in held]
    everywhere = torch.arange(count - CONTEXT)
    return [windows(train[start : start + count], everywhere), *map(windows, held, places)]


def windows(ids, places):
    """CONTEXT characters from each place, and the one after them."""
    return ids[places[:, None] + torch.arange(CONTEXT)], ids[places + CONTEXT]


def next_digit(seed):
    return mlp(64, 10, seed=seed)


def next_character(seed):
    size = 1 + int(max(part.max() for part in characters()))
    layers = (nn.Linear(16 * CONTEXT, 64), nn.ReLU(), nn.Linear(64, size))
    return seeded(nn.Sequential(nn.Embedding(size, 16), nn.Flatten(-2), *layers), seed)


@dataclass(frozen=True)
class Setting:
    load: Callable
    model: Callable
    count: int
    steps: int
    rates: tuple
    methods: tuple = ("l2", "decoupled")
    batch_size: int = 32


SETTINGS = {
    "digits, 100": Setting(digits, next_digit, 100, 400, (0.001, 0.0316, 4)),
    "digits, 1200": Setting(digits, next_digit, 1200, 400, (0.001, 0.0316, 4), ("l2",)),
    "text, 3000": Setting(text, next_character, 3000, 400, (0.001, 0.0316, 4)),
    "text, 370000": Setting(text, next_character, 370_000, 600, (0.00316, 0.0316, 3), ("l2",)),
}
PARTS = tuple(SETTINGS)
DECAYS = {
    "l2": (0.0, *log_grid(1e-5, 1e-2, 7)),  # the lesson's lambda
    "decoupled": (0.0, *log_grid(1e-2, 10, 7)),  # torch's weight_decay, a thousand times that
}


COSTS = (0.0, 1e-4, 1e-2)  # lambdas whose test loss is compared with the best one's


def run(seeds, full=False, part=None):
    return [row for name in ([part] if part else PARTS) for row in study(name, tuple(seeds))]


def study(name, seeds):
    """The maps, their tilts, the best cell of each method, and what other lambdas cost."""
    setting = SETTINGS[name]
    rates = {method: log_grid(*setting.rates) for method in setting.methods}
    tuned = tune(lambda method, lr: min(losses_of(name, method, lr)), rates)
    best = {
        method: (arm.rate, DECAYS[method][int(np.argmin(losses_of(name, method, arm.rate)))])
        for method, arm in tuned.items()
    }
    maps = {method: loss_map(name, method) for method in setting.methods}
    yield from cells(name, maps)
    yield from tilts(name, maps)
    test = {m: train(name, m, *cell, seeds)["test_loss"] for m, cell in best.items()}
    for method, (lr, decay) in best.items():
        yield {
            "setting": name,
            "what": "best",
            "method": method,
            "lr": lr,
            "decay": decay,
            "accepted": tuned[method].accepted and decay != DECAYS[method][-1],
            "trials": len(tuned[method].trials) * len(DECAYS[method]),
            "test_loss": spread(test[method]),
            "error_percent": spread(train(name, method, lr, decay, seeds)["error_percent"]),
            "test_loss_above_l2": difference(test[method], test["l2"]),
        }
    yield from lambdas(name, best["l2"][1], seeds)


def cells(name, maps):
    for method, of in maps.items():
        for lr, row in zip(log_grid(*SETTINGS[name].rates), of.mean(axis=-1)):
            for decay, loss in zip(DECAYS[method], row):
                yield {"setting": name, "what": "cell", "method": method,
                       "lr": lr, "decay": decay, "validation_loss": loss}  # fmt: skip


def tilts(name, maps):
    """How the best decay changes as the rate grows tenfold, in powers of ten, for every seed."""
    log_rates = np.log10(log_grid(*SETTINGS[name].rates))
    slopes = {}
    for method, of in maps.items():
        x = np.log10(DECAYS[method][1:])
        best = np.array(
            [[log_best(x, y[1:]) for y in by_rate] for by_rate in np.moveaxis(of, 2, 0)]
        )
        slopes[method] = np.polyfit(log_rates, best.T, 1)[0]
        row = {"setting": name, "what": "tilt", "method": method, "slope": spread(slopes[method]),
               "share_on_edge": np.isin(best, x[[0, -1]]).mean()}  # fmt: skip
        if method == "decoupled":  # the paper's own weight decay is rate times torch's
            row["slope_of_product"] = spread(slopes[method] + 1)
            row["slope_above_l2"] = difference(slopes[method], slopes["l2"])
        yield row


def lambdas(name, best, seeds):
    """The test loss of some lambdas, each at a learning rate tuned for it."""
    arms = sorted({*COSTS, best})
    rates = {lam: log_grid(*SETTINGS[name].rates) for lam in arms}
    tuned = tune(lambda lam, lr: validation(name, "l2", lr, lam).mean(), rates)
    test = {lam: train(name, "l2", tuned[lam].rate, lam, seeds)["test_loss"] for lam in arms}
    for lam in arms:
        yield {
            "setting": name,
            "what": "lambda",
            "lambda": lam,
            "best": lam == best,
            "lr": tuned[lam].rate,
            "accepted": tuned[lam].accepted,
            "trials": len(tuned[lam].trials),
            "test_loss": spread(test[lam]),
            "test_loss_above_best": difference(test[lam], test[best]),
        }


def log_best(x, losses):
    """Where a parabola through the least of the losses and its two neighbours has its minimum."""
    i = int(np.argmin(losses))
    if i in (0, len(x) - 1) or not np.isfinite(losses[i + 1]):
        return x[i]
    below, above = losses[i - 1] - losses[i], losses[i + 1] - losses[i]
    return x[i] + (x[i + 1] - x[i]) / 2 * (below - above) / max(below + above, 1e-12)


def loss_map(name, method):
    """Validation losses: rate, decay, seed."""
    return np.array([
        [validation(name, method, lr, decay) for decay in DECAYS[method]]
        for lr in log_grid(*SETTINGS[name].rates)
    ])  # fmt: skip


def losses_of(name, method, lr):
    return [validation(name, method, lr, decay).mean() for decay in DECAYS[method]]


def validation(name, method, lr, decay):
    return train(name, method, lr, decay, TUNING_SEEDS)["validation"]


def picture(rows, setting="text, 3000"):
    """The two maps of one setting: validation loss over decay and rate."""
    cells = [row for row in rows if row["setting"] == setting and row["what"] == "cell"]
    rates = sorted({row["lr"] for row in cells})
    grids = {"l2": [], "decoupled": []}
    for method, grid in grids.items():
        for decay in DECAYS[method]:
            losses = [row["validation_loss"] for row in cells
                      if (row["method"], row["decay"]) == (method, decay)]  # fmt: skip
            grid.append([np.nan if loss is None else loss for loss in losses])
    return figures.heat_map(
        {"penalty in the loss": grids["l2"], "decoupled": grids["decoupled"]},
        x=rates,
        y=DECAYS["l2"],
        xlabel="learning rate",
        ylabel="lambda; right: weight decay / 1000",
        label=f"validation loss ({setting})",
        vmax=1.4 * np.nanmin(grids["l2"]),
    )


@cache
def material(setting, seed):
    """What follows from the seed alone: the batches, validation and test data."""
    rng = torch.Generator().manual_seed(seed)
    (x, y), *held = setting.load(setting.count, rng)
    rows = torch.randint(len(x), (setting.steps, setting.batch_size), generator=rng)
    return (x[rows], y[rows]), *held


@cache
def train(name, method, lr, decay, seeds):
    """Train a model for every seed, each on data of its own; return what -> values by seed."""
    setting = SETTINGS[name]
    (x, y), validation, test = (
        [torch.stack(part) for part in zip(*of)]
        for of in zip(*(material(setting, seed) for seed in seeds))
    )
    models = [setting.model(seed) for seed in seeds]
    w, _ = stack_module_state(models)
    predict = vmap(lambda w, x: functional_call(models[0], w, (x,)))
    if method == "l2":
        step, lam = Adam(w.values(), lr=lr), decay
    else:
        step, lam = AdamW(w.values(), lr=lr, weight_decay=decay), 0.0
    for t in range(setting.steps):
        step.zero_grad()
        loss = by_seed(predict(w, x[:, t]), y[:, t]).sum()
        (loss + sum(l2_penalty(p, lam)[0] for p in w.values())).backward()
        step.step()
    test_loss, error_percent = evaluate(predict, w, *test)
    return {
        "validation": np.nan_to_num(evaluate(predict, w, *validation)[0], nan=inf),
        "test_loss": test_loss,
        "error_percent": error_percent,
    }
