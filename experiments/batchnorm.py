"""Batch norm trains at a wider range of rates than no norm or layer norm, tiny batches undo it.

For claims C36-C38: digits, five hidden ReLU layers of 64, plain SGD; no norm, batch norm or layer
norm before every ReLU, from torch's default weights and from He's, over three and a half decades of
rates: how many seeds reach, in 300 steps, a training loss fixed in advance. Then batches of 2 to
256 at equal updates, each arm at its own tuned rate, with the training loss on batch statistics
beside that on running ones. And, exactly: what becomes of the output when all weights before a
norm are multiplied. One small network on images: what normalization does for text is not settled.
"""

from functools import cache
from math import isfinite

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from experiments.digits import split
from experiments.protocol import difference, log_grid, spread, tune
from optlib.models import seeded
from optlib.optimizers.sgd import SGD
from optlib.regularization.batchnorm import BatchNorm, LayerNorm

SEEDS = (8, 20)
TUNING_SEEDS = tuple(range(1000, 1005))  # none of the seeds that are reported
NORMS = {"none": None, "batch": BatchNorm, "layer": LayerNorm}
RATES = log_grid(0.003, 9.4868, 8)  # half a decade from one to the next
TARGET = 0.1  # the training loss that a run must reach to have trained; set beforehand
CAP = 10.0  # a loss beyond it, or none, counts as this: the run diverged
HIDDEN, WIDTH, STEPS, BATCH_SIZE = 5, 64, 300, 64
SEEN = 512  # training examples that the training loss is taken on; all batch sizes divide it
BATCH_SIZES = (2, 4, 16, 256)
GRID = log_grid(0.01, 1, 5)
FACTORS = (0.01, 0.1, 10.0, 100.0)
PARTS = ("torch", "he", *BATCH_SIZES, "multiplied")


def run(seeds, full=False, part=None):
    return [row for p in ([part] if part else PARTS) for row in rows_of(p, seeds, full)]


def rows_of(part, seeds, full):
    steps = 3 * STEPS if full else STEPS
    if part == "multiplied":
        return multiplied(seeds)
    return sizes(part, seeds, steps) if part in BATCH_SIZES else rates(part, seeds, steps)


def rates(start, seeds, steps):
    """A row for every norm and rate, then one for every norm: where half of the seeds train."""
    runs = {
        (norm, lr): train(norm, start, lr, BATCH_SIZE, tuple(seeds), steps)
        for lr in RATES
        for norm in NORMS
    }
    losses = {arm: [run["train_loss"] for run in of] for arm, of in runs.items()}
    trained = {arm: sum(loss <= TARGET for loss in of) for arm, of in losses.items()}
    for (norm, lr), of in losses.items():
        yield {
            "what": "rate", "start": start, "norm": norm, "lr": lr, "steps": steps,
            "seeds": len(seeds), "trained": trained[norm, lr], "train_loss": spread(of),
            "train_loss_above_none": difference(of, losses["none", lr]),
            "test_error_percent": spread([run["test_error"] for run in runs[norm, lr]]),
        }  # fmt: skip
    for norm in NORMS:
        half = [lr for lr in RATES if trained[norm, lr] >= len(seeds) / 2]
        yield {
            "what": "range", "start": start, "norm": norm, "rates_tried": len(RATES),
            "rates_trained": len(half), "lowest": min(half, default=None),
            "highest": max(half, default=None),
            "rates_all_trained": sum(trained[norm, lr] == len(seeds) for lr in RATES),
        }  # fmt: skip


def sizes(batch_size, seeds, steps):
    """A row for every norm at this batch size, each at its own best rate."""

    def validate(norm, lr):
        runs = train(norm, "he", lr, batch_size, TUNING_SEEDS, steps)
        return np.mean([run["validation"] for run in runs])

    tuned = tune(validate, dict.fromkeys(NORMS, GRID))
    found = {
        norm: train(norm, "he", arm.rate, batch_size, tuple(seeds), steps)
        for norm, arm in tuned.items()
    }
    for norm, arm in tuned.items():
        row = {"what": "batch size", "norm": norm, "batch_size": batch_size, "steps": steps,
               "lr": arm.rate, "accepted": arm.accepted, "trials": len(arm.trials)}  # fmt: skip
        for what in ("train_loss", "test_loss", "test_error"):
            here, other = ([run[what] for run in found[n]] for n in (norm, "layer"))
            row |= {what: spread(here), f"{what}_above_layer": difference(here, other)}
        batch = [run["train_loss_in_training_mode"] for run in found[norm]]
        evaluation = [run["train_loss"] for run in found[norm]]
        row["train_loss_in_training_mode"] = spread(batch)
        row["evaluation_above_training_mode"] = difference(evaluation, batch)
        yield row


@cache
def train(norm, start, lr, batch_size, seeds, steps):
    """What a run of every seed gave: its split, start and batches follow from the seed alone.

    All seeds are trained at once, on a leading axis; none sees another.
    """
    models = [network(norm, start, seed) for seed in seeds]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parts = zip(*(split(rng, 1000, 300) for rng in generators))
    (x, y), validation, test = ([torch.stack(xy) for xy in zip(*part)] for part in parts)
    model = Stacked(models)
    step = SGD(model.params.values(), lr=lr)
    each = torch.arange(len(seeds))[:, None]
    for _ in range(steps):
        rows = torch.stack([torch.randint(1000, (batch_size,), generator=g) for g in generators])
        step.zero_grad()
        model.losses(x[each, rows], y[each, rows]).sum().backward()
        step.step()
    x, y = x[:, :SEEN], y[:, :SEEN]
    measured = {
        "validation": model.evaluate(*validation)[0],
        "train_loss": model.evaluate(x, y)[0],
        "test_loss": model.evaluate(*test)[0],
        "test_error": model.evaluate(*test)[1],
        "train_loss_in_training_mode": model.training_mode_losses(x, y, batch_size),
    }
    return [dict(zip(measured, values)) for values in zip(*measured.values())]


class Stacked:
    """Models of one shape as one, their weights and examples on a leading axis."""

    def __init__(self, models):
        self.params, self.buffers = stack_module_state(models)
        self.one = models[0]

    def scores(self, x):
        def score(params, buffers, x):
            return functional_call(self.one, (params, buffers), (x,))

        return vmap(score)(self.params, self.buffers, x)

    def losses(self, x, y):
        """The mean loss of every model; in training mode its running statistics move on."""
        scores = self.scores(x)
        losses = cross_entropy(scores.flatten(0, 1), y.flatten(), reduction="none")
        return losses.view(y.shape).mean(1)

    @torch.no_grad()
    def evaluate(self, x, y):
        """(Losses, errors in percent) in evaluation mode."""
        self.one.eval()
        losses, errors = self.losses(x, y), (self.scores(x).argmax(-1) != y).float().mean(1)
        self.one.train()
        return [capped(loss) for loss in losses.tolist()], (100 * errors).tolist()

    @torch.no_grad()
    def training_mode_losses(self, x, y, batch_size):
        """The mean losses, normalized in batches as in training."""
        batches = zip(x.split(batch_size, 1), y.split(batch_size, 1))
        return list(map(capped, torch.stack([self.losses(*b) for b in batches]).mean(0).tolist()))


def capped(loss):
    return min(loss, CAP) if isfinite(loss) else CAP


def network(norm, start, seed, **of_norm):
    """Five hidden layers, each Linear, norm, ReLU; then the scores of the ten classes."""
    layers = []
    for inputs in (64, *[WIDTH] * (HIDDEN - 1)):
        layers.append(nn.Linear(inputs, WIDTH))
        layers += [NORMS[norm](WIDTH, **of_norm)] if NORMS[norm] else []
        layers.append(nn.ReLU())
    model = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    return he(model, seed) if start == "he" else seeded(model, seed)


def he(model, seed):
    """Draw the weights as He et al. (2015) do, for ReLU; biases start at zero."""
    rng = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
            nn.init.zeros_(layer.bias)
    return model


def multiplied(seeds):
    """What a factor on all hidden weights and biases does to the output and to the gradient."""
    for norm in NORMS:
        for eps in (1e-5, 0.0) if NORMS[norm] else (None,):
            for factor in FACTORS:
                both = [compare(norm, eps, factor, seed) for seed in seeds]
                yield {
                    "what": "multiplied", "norm": norm, "eps": eps, "factor": factor,
                    "output_change": max(change for change, _ in both),
                    "gradient_norm_ratio": spread([ratio for _, ratio in both]),
                }  # fmt: skip


def compare(norm, eps, factor, seed):
    """(Largest change of a score over the largest score, new over old norm of the gradient)."""
    (x, y), *_ = split(torch.Generator().manual_seed(seed), 64)
    model = network(norm, "torch", seed, **({} if eps is None else {"eps": eps})).double()
    before, gradient = scores_and_gradient(model, x.double(), y)
    with torch.no_grad():
        for layer in list(model)[:-1]:
            if isinstance(layer, nn.Linear):
                for p in layer.parameters():
                    p.mul_(factor)
    after, new_gradient = scores_and_gradient(model, x.double(), y)
    change = (after - before).abs().max() / before.abs().max()
    return float(change), float(new_gradient / gradient)


def scores_and_gradient(model, x, y):
    """The scores in training mode, and the norm of the loss's gradient at the first weights."""
    scores = model(x)
    (g,) = torch.autograd.grad(cross_entropy(scores, y), [model[0].weight])
    return scores.detach(), g.norm()


def picture(rows):
    from optlib.figures import curves

    lines = {}
    for norm, start, name in (
        ("none", "torch", "none,\ntorch's weights"),
        ("none", "he", "none,\nHe's"),
        ("batch", "he", "batch norm,\nHe's"),
        ("layer", "he", "layer norm,\nHe's"),
    ):
        wanted = ("rate", start, norm)
        arms = [r for r in rows if (r["what"], r.get("start"), r["norm"]) == wanted]
        y = [np.median(r["train_loss"]["values"]) for r in arms]
        lines[name] = ([r["lr"] for r in arms], y)
    return curves(
        lines, xlabel="learning rate", ylabel="training loss (median)", xscale="log",
        yscale="log", level=TARGET,
    )  # fmt: skip
