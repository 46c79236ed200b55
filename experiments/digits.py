"""The handwritten digits that several experiments train on, split at random, and how they judge."""

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy


@cache
def images():
    """All 1797 images as 64 numbers from 0 to 1, and the digits that they show."""
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


def split(rng, *sizes):
    """Shuffle the images; return (x, y) of the first `sizes[0]`, of the next, ..., of the rest."""
    x, y = images()
    order = torch.randperm(len(x), generator=rng)
    return [(x[rows], y[rows]) for rows in order.split([*sizes, len(x) - sum(sizes)])]


@torch.no_grad()
def evaluate(model, x, y):
    """The mean loss in evaluation mode, and how many of a hundred are wrong."""
    model.eval()
    scores = model(x)
    model.train()
    return float(cross_entropy(scores, y)), 100 * float((scores.argmax(1) != y).float().mean())
