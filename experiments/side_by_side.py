"""Two small tasks, and many runs of one at a time: every weight has a dimension for the runs.

The runs share the batches of their seed: what differs between two arms is the arm alone.
"""

from collections import deque
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from experiments.protocol import tune
from optlib import corpus
from optlib.models import mlp, seeded

CONTEXT, FEATURES, HIDDEN = 8, 8, 64  # the next letter is told from the eight before it
DIGITS = 1024  # to train on; of the others half to tune on, half to report
SCORED = 4096  # places of a text, evenly spaced, that a loss is taken on


@dataclass(frozen=True)
class Task:
    """Data of one kind for several seeds: of each part (x, y), x[i] and y[i] are of seed i."""

    model: object  # a function of a seed
    train: tuple
    validation: tuple
    test: tuple


def digits(seeds):
    """Handwritten digits, pixels from 0 to 1, split anew by every seed."""
    x, y = map(torch.tensor, load_digits(return_X_y=True))
    orders = [torch.randperm(len(y), generator=torch.Generator().manual_seed(s)) for s in seeds]
    parts = torch.stack(orders).split([DIGITS, 386, 387], dim=1)
    return Task(lambda seed: mlp(64, 10, seed), *((x[i].float() / 16, y[i]) for i in parts))


def text(seeds):
    """The next letter of Python's documentation; the text is cut alike for all seeds."""
    letters, parts = _letters()
    train, validation, test = (_places(part) for part in parts)
    parts = train, _spaced(*validation), _spaced(*test)
    parts = [tuple(z.expand(len(seeds), *z.shape) for z in part) for part in parts]
    return Task(lambda seed: next_letter(letters, seed), *parts)


def next_letter(letters, seed):
    """A perceptron with one hidden layer on the features of the last letters."""
    layers = nn.Embedding(letters, FEATURES), nn.Flatten(-2)
    layers += nn.Linear(CONTEXT * FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, letters)
    return seeded(nn.Sequential(*layers), seed)


@cache
def _letters():
    known, ids = np.unique(corpus.byte_ids(corpus.documentation()), return_inverse=True)
    return len(known), [torch.tensor(part) for part in corpus.split(ids, 0.8, 0.1)]


def _places(ids):
    return ids.unfold(0, CONTEXT, 1)[:-1], ids[CONTEXT:]


def _spaced(x, y):
    chosen = torch.linspace(0, len(y) - 1, SCORED).long()
    return x[chosen], y[chosen]


def random_batches(task, seeds, size, steps):
    """Yield `steps` times the rows of a batch, drawn with replacement, for each seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    n = task.train[1].shape[1]
    for _ in range(steps):
        yield torch.stack([torch.randint(n, (size,), generator=rng) for rng in generators])


def descend(task, optimizer, seeds, schedules, batches):
    """Run every schedule, a function of t, from every seed; yield the weights after each step.

    Run i * len(seeds) + j has schedule i and seed j. `batches` yields rows, a row of them per seed.
    """
    model = task.model(0)
    weights, _ = stack_module_state([task.model(seed) for _ in schedules for seed in seeds])
    weights = {name: w.detach() for name, w in weights.items()}
    states = {name: [torch.zeros_like(w) for _ in optimizer.state_names]
              for name, w in weights.items()}  # fmt: skip
    gradient = vmap(grad(lambda w, x, y: cross_entropy(functional_call(model, w, (x,)), y)))
    each = torch.arange(len(seeds))[:, None]
    for t, rows in enumerate(batches):
        x, y = (_for_all(z[each, rows], len(schedules)) for z in task.train)
        lr = torch.tensor([schedule(t) for schedule in schedules]).repeat_interleave(len(seeds))
        clock = (t + 1,) if optimizer.counts_steps else ()
        for name, g in gradient(weights, x, y).items():
            rates = lr.view(-1, *[1] * (g.dim() - 1))
            weights[name], *states[name] = optimizer.rule(
                weights[name], g, *states[name], *clock, lr=rates
            )
        yield weights


def _for_all(z, arms):
    return z.repeat(arms, *[1] * (z.dim() - 1))


def last(course):
    """The weights after the last step."""
    return deque(course, maxlen=1).pop()


def evaluate(task, weights, part):
    """The mean loss and the wrong ones of a hundred, arms by seeds, on one part of the data."""
    model, (x, y) = task.model(0), part

    def of_one(w, x, y):
        scores = functional_call(model, w, (x,))
        return cross_entropy(scores, y), 100 * (scores.argmax(-1) != y).double().mean()

    arms = len(next(iter(weights.values()))) // len(y)
    x, y = _for_all(x, arms), _for_all(y, arms)
    with torch.no_grad():  # in chunks that stay in the processor's cache
        of_all = vmap(of_one, chunk_size=1)(weights, x, y)
    return [z.double().view(arms, -1).numpy() for z in of_all]


def tune_together(scores, grids):
    """`protocol.tune`, with the first trials side by side: `scores` of a list of (arm, rate)."""
    first = [(arm, rate) for arm, rates in grids.items() for rate in rates]
    known = dict(zip(first, scores(first)))

    def validate(*trial):
        if trial not in known:
            known[trial] = scores([trial])[0]
        return known[trial]

    return tune(validate, grids)
