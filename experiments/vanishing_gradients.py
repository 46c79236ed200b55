"""RMSprop rescales the step of a vanished gradient; a better start keeps the gradient (C12, C14).

Digits, sigmoid layers of 64, two, four or six deep. At the start: the first layer's gradient norm
over the last layer's, the same for every optimizer, and the same ratio of what each optimizer's
first step moves. Then SGD, RMSprop and Adam, each at its own tuned rate: the training loss after
600 steps, and the gradients' ratio where they have moved the weights. Last, six layers under tuned
SGD: larger initial weights, tanh, ReLU, residual connections. Networks of a few small layers on
images; nothing is said of recurrent networks, nor of longer training.
"""

from functools import cache
from math import isfinite

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments.digits import evaluate, split
from experiments.protocol import difference, log_grid, spread, tune
from optlib.models import mlp
from optlib.optimizers.adam import Adam
from optlib.optimizers.rmsprop import RMSprop
from optlib.optimizers.sgd import SGD

SEEDS = (6, 20)
TUNING_SEEDS = (1000, 1001)  # none of the seeds that are reported
OPTIMIZERS = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}
GRIDS = {
    "sgd": log_grid(0.1, 10, 5),
    "rmsprop": log_grid(0.001, 0.1, 5),
    "adam": log_grid(0.001, 0.1, 5),
}
DEPTHS = (2, 4, 6)
DEEPEST = DEPTHS[-1]
STEPS, BATCH_SIZE, WIDTH = 600, 64, 64
FIRST_RATE = 0.001  # of the one step that updates are compared in; the ratios do not depend on it
DIVERGED = 10.0  # stands for a loss that is not finite
PARTS = (*DEPTHS, "remedies")


class Residual(nn.Module):
    """A layer that adds to what it is given."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


def plain(depth, seed, activation=nn.Sigmoid):
    return mlp(64, 10, seed=seed, hidden=(WIDTH,) * depth, activation=activation)


def xavier(depth, seed, gain, activation=nn.Sigmoid):
    """Uniform weights of Glorot and Bengio (2010), times `gain`; biases start at zero."""
    return drawn(
        plain(depth, seed, activation), seed, lambda w, rng: nn.init.xavier_uniform_(w, gain, rng)
    )


def he(depth, seed):
    """Normal weights of He et al. (2015) for ReLU; biases start at zero."""
    return drawn(
        plain(depth, seed, nn.ReLU),
        seed,
        lambda w, rng: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=rng),
    )


def drawn(model, seed, draw):
    rng = torch.Generator().manual_seed(seed)
    for layer in linear_layers(model):
        draw(layer.weight, rng)
        nn.init.zeros_(layer.bias)
    return model


def residual(depth, seed):
    """The plain network, its hidden layers adding to what they are given."""
    *hidden, last = plain(depth, seed)
    return nn.Sequential(*map(Residual, hidden[::2], hidden[1::2]), last)


REMEDIES = {
    "sigmoid": plain,
    "sigmoid, Xavier times 4": lambda depth, seed: xavier(depth, seed, 4.0),
    "tanh, Xavier": lambda depth, seed: xavier(depth, seed, 1.0, nn.Tanh),
    "ReLU, He": he,
    "sigmoid, residual": residual,
}


def run(seeds, full=False, part=None):
    steps = 3 * STEPS if full else STEPS
    parts = PARTS if part is None else (part,)
    return [row for p in parts for row in (
        remedies(seeds, steps) if p == "remedies" else optimizers(p, seeds, steps)
    )]  # fmt: skip


def optimizers(depth, seeds, steps):
    """A row for every optimizer on the sigmoid network of this depth."""
    arms = {name: ("sigmoid", depth, name) for name in OPTIMIZERS}
    for name, row in compare(arms, GRIDS, seeds, steps, baseline="sgd"):
        first = [first_step("sigmoid", depth, name, seed) for seed in seeds]
        yield {
            "what": "optimizer", "depth": depth, "optimizer": name, **row,
            "gradient_ratio_at_start": spread([f["gradient_ratio"] for f in first]),
            "update_ratio_at_start": spread([f["update_ratio"] for f in first]),
            "largest_factor": spread([f["largest_factor"] for f in first]),
            "smallest_factor": spread([f["smallest_factor"] for f in first]),
        }  # fmt: skip


def remedies(seeds, steps):
    """A row for every remedy on the deepest network, under SGD."""
    arms = {name: (name, DEEPEST, "sgd") for name in REMEDIES}
    grids = dict.fromkeys(REMEDIES, log_grid(0.01, 10, 5))
    for name, row in compare(arms, grids, seeds, steps, baseline="sigmoid"):
        ratios = [first_step(name, DEEPEST, "sgd", seed)["gradient_ratio"] for seed in seeds]
        yield {"what": "remedy", "depth": DEEPEST, "remedy": name, **row,
               "gradient_ratio_at_start": spread(ratios)}  # fmt: skip


def compare(arms, grids, seeds, steps, baseline):
    """Yield (arm, what its runs gave at its own best rate), `arms` being name -> arguments."""

    def validate(name, lr):
        return np.mean([train(*arms[name], lr, seed, steps)["validation"] for seed in TUNING_SEEDS])

    tuned = tune(validate, grids)
    found = {
        name: [train(*arms[name], arm.rate, seed, steps) for seed in seeds]
        for name, arm in tuned.items()
    }
    for name, arm in tuned.items():
        row = {"steps": steps, "lr": arm.rate, "accepted": arm.accepted, "trials": len(arm.trials)}
        for what in ("train_loss", "test_error_percent", "gradient_ratio_at_end"):
            row[what] = spread([run[what] for run in found[name]])
        here, other = ([run["train_loss"] for run in found[n]] for n in (name, baseline))
        yield name, row | {f"train_loss_above_{baseline}": difference(here, other)}


@cache
def train(network, depth, optimizer, lr, seed, steps):
    """One run: the split, the start and the batches follow from the seed alone."""
    rng = torch.Generator().manual_seed(seed)
    (x, y), validation, test = split(rng, 1000, 300)
    model = REMEDIES[network](depth, seed)
    step = OPTIMIZERS[optimizer](model.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH_SIZE,), generator=rng)
        step.zero_grad()
        cross_entropy(model(x[rows]), y[rows]).backward()
        step.step()
    gradients(model, x, y)
    return {
        "validation": finite(evaluate(model, *validation)[0]),
        "train_loss": finite(evaluate(model, x, y)[0]),
        "test_error_percent": evaluate(model, *test)[1],
        "gradient_ratio_at_end": ratio([layer.weight.grad for layer in linear_layers(model)]),
    }


def first_step(network, depth, optimizer, seed):
    """What the first step of an optimizer makes of the gradient, in float64.

    The factors are |change of a weight| / (lr * |gradient|), over the hidden and output weights
    that have a gradient: 1 for SGD.
    """
    (x, y), *_ = split(torch.Generator().manual_seed(seed), 1000)
    model = REMEDIES[network](depth, seed).double()
    gradients(model, x.double(), y)
    weights = [layer.weight for layer in linear_layers(model)]
    before = [w.detach().clone() for w in weights]
    OPTIMIZERS[optimizer](model.parameters(), lr=FIRST_RATE).step()
    changes = [(w.detach() - old).abs() for w, old in zip(weights, before)]
    factors = torch.cat([
        (change / (FIRST_RATE * w.grad.abs()))[w.grad != 0] for change, w in zip(changes, weights)
    ])  # fmt: skip
    return {
        "gradient_ratio": ratio([w.grad for w in weights]),
        "update_ratio": ratio(changes),
        "largest_factor": float(factors.max()),
        "smallest_factor": float(factors.min()),
    }


def linear_layers(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


def gradients(model, x, y):
    """Leave the gradient of the mean loss in the parameters."""
    model.zero_grad()
    cross_entropy(model(x), y).backward()


def ratio(of_layers):
    """The first layer's norm over the last layer's."""
    return float(of_layers[0].norm() / of_layers[-1].norm())


def finite(loss):
    return loss if isfinite(loss) else DIVERGED


def picture(rows):
    from optlib.figures import curves

    lines = {}
    for name, label in (("sgd", "SGD"), ("rmsprop", "RMSprop"), ("adam", "Adam")):
        arms = [row for row in rows if row.get("optimizer") == name]
        y = [row["update_ratio_at_start"]["mean"] for row in arms]
        lines[label] = ([row["depth"] for row in arms], y)
    return curves(
        lines, xlabel="hidden layers", ylabel="first step: first layer / last layer",
        yscale="log", level=1,
    )  # fmt: skip
