"""Accumulation equals the large batch if it counts what it weighs, and if rows do not meet (C44).

Relative error of the accumulated gradient in float64: equal micro-batches, unequal ones as a mean
of means and weighted by their sizes, and a model with batch norm, whose rows do meet.
"""

import torch
from torch import nn

from experiments.protocol import spread
from optlib import figures
from optlib.large_batch.accumulation import accumulated_gradient, weighted_mean

SEEDS = (10, 50)
EQUAL, UNEQUAL = [32] * 8, [2, 4, 10, 20, 60, 160]  # both sum to 256


def run(seeds, full=False):
    return [two_texts()] + [
        {"what": name, "relative_error": spread([f(seed) for seed in seeds])}
        for name, f in ARMS.items()
    ]


def two_texts():
    """Ten tokens of mean loss 4 and a thousand of mean loss 2: what is the mean loss?"""
    losses, tokens = (4.0, 2.0), (10, 1000)
    return {"what": "two texts", "mean_of_means": weighted_mean(losses, (1, 1)),
            "token_mean": weighted_mean(losses, tokens)}  # fmt: skip


def error(seed, sizes, *, weighted=True, batch_norm=False):
    """|accumulated - whole| / |whole|, over all the gradients of a small network."""
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randn(256, 8, generator=rng, dtype=torch.float64)
    # Short pieces differ from long ones, as texts do: the target follows the piece.
    of_piece = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    shift = torch.randn(len(sizes), generator=rng, dtype=torch.float64)
    targets = (inputs.sum(1) + 3 * shift[of_piece]).unsqueeze(1)
    w = network(batch_norm).double()
    with torch.no_grad():
        for p in w.parameters():
            p.add_(torch.randn(p.shape, generator=rng, dtype=p.dtype) / 4)

    def grad_fn(w, rows):
        loss = nn.functional.mse_loss(w(inputs[rows]), targets[rows])
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, w.parameters())])

    pieces = torch.arange(256).split(sizes)
    whole = grad_fn(w, torch.arange(256))
    if weighted:
        accumulated = accumulated_gradient(grad_fn, w, pieces)
    else:
        accumulated = weighted_mean((grad_fn(w, rows) for rows in pieces), [1] * len(sizes))
    return float((accumulated - whole).norm() / whole.norm())


def network(batch_norm):
    middle = nn.BatchNorm1d(16) if batch_norm else nn.Identity()
    model = nn.Sequential(nn.Linear(8, 16), middle, nn.Tanh(), nn.Linear(16, 1))
    for p in model.parameters():
        nn.init.constant_(p, 0.5)  # torch's own draw is not the seed's
    return model


ARMS = {
    "equal pieces": lambda seed: error(seed, EQUAL),
    "unequal pieces, mean of means": lambda seed: error(seed, UNEQUAL, weighted=False),
    "unequal pieces, weighted": lambda seed: error(seed, UNEQUAL),
    "equal pieces, batch norm": lambda seed: error(seed, EQUAL, batch_norm=True),
}


def picture(rows):
    """The relative error of each way to accumulate."""
    errors = {row["what"]: row["relative_error"] for row in rows if "relative_error" in row}
    return figures.ranges(
        {"gradient": {what: (e["low"], e["mean"], e["high"]) for what, e in errors.items()}},
        xlabel="relative error of the accumulated gradient",
    )
