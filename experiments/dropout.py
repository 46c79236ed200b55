"""A smaller gap is not a better model: one pass over a text is worse with dropout (C33-C35).

Digits with 100, 400 and 1200 training examples, and the next character of Python's documentation:
the same number of updates, once as ten epochs on little text, once as one pass over ten times more.
Every probability to drop has its own learning rate, tuned on validation loss. The gap between test
and training is reported beside the test loss and the test error, in evaluation mode. Small networks
with dropout on hidden layers only: how much dropout gains elsewhere is not settled.
"""

from functools import cache
from math import ceil

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments.digits import evaluate, split
from experiments.protocol import difference, log_grid, spread, tune
from optlib import corpus
from optlib.models import seeded
from optlib.optimizers.adam import Adam
from optlib.regularization.dropout import Dropout

SEEDS = (10, 30)
TUNING_SEEDS = {"digits": (1000, 1001), "text": (1000,)}  # none of the seeds that are reported
PARTS = ("digits, 100", "digits, 400", "digits, 1200", "text, 10 epochs", "text, one pass")
PROBABILITIES = {"digits": (0.0, 0.2, 0.5, 0.7), "text": (0.0, 0.1, 0.3, 0.5)}
RATES = log_grid(0.0005, 0.02, 5)
UPDATES = {"digits": 300, "text": 600}
BATCH_SIZE = {"digits": 64, "text": 128}
EPOCHS, CONTEXT = 10, 8
SEEN = 20_000  # the training examples, at most, that the training loss is taken on
MEASURED = ("train_loss", "test_loss", "loss_gap", "train_error", "test_error", "error_gap")


def run(seeds, full=False, part=None):
    longer = 5 if full else 1
    return [row for name in ([part] if part else PARTS) for row in compare(name, seeds, longer)]


def compare(part, seeds, longer):
    """A row for every probability to drop, each at its own best rate."""
    task, _ = part.split(", ")
    seeds = seeds if task == "digits" else seeds[: len(seeds) // 2]  # its test set is large

    def validate(p, lr):
        runs = [train(part, p, lr, seed, longer) for seed in TUNING_SEEDS[task]]
        return np.mean([run["validation"] for run in runs])

    tuned = tune(validate, dict.fromkeys(PROBABILITIES[task], RATES))
    found = {p: [train(part, p, arm.rate, s, longer) for s in seeds] for p, arm in tuned.items()}
    for p, arm in tuned.items():
        row = {"part": part, "p": p, "lr": arm.rate, "accepted": arm.accepted,
               "trials": len(arm.trials), "updates": found[p][0]["updates"],
               "examples": found[p][0]["examples"]}  # fmt: skip
        for what in MEASURED:
            here, without = ([run[what] for run in found[q]] for q in (p, 0.0))
            row |= {what: spread(here), f"{what}_above_none": difference(here, without)}
        yield row


def train(part, p, lr, seed, longer=1):
    """One run: data, start, batches and masks follow from the seed, whatever `p` and `lr` are."""
    task, amount = part.split(", ")
    rng = torch.Generator().manual_seed(seed)
    updates, batch_size = longer * UPDATES[task], BATCH_SIZE[task]
    if task == "digits":
        (x, y), validation, test = digits(int(amount), rng)
        model = seeded(digits_network(p, seed), seed)
    else:
        passes = 1 if amount == "one pass" else EPOCHS
        (x, y), validation, test = text(updates * batch_size // passes, rng)
        model = seeded(text_network(p, seed), seed)
    step = Adam(model.parameters(), lr=lr)
    for rows in batches(len(x), updates, batch_size, rng):
        step.zero_grad()
        cross_entropy(model(x[rows]), y[rows]).backward()
        step.step()
    train_loss, train_error = evaluate(model, x[:SEEN], y[:SEEN])
    test_loss, test_error = evaluate(model, *test)
    return {
        "updates": updates,
        "examples": len(x),
        "validation": evaluate(model, *validation)[0],
        "train_loss": train_loss,
        "test_loss": test_loss,
        "loss_gap": test_loss - train_loss,
        "train_error": train_error,
        "test_error": test_error,
        "error_gap": test_error - train_error,
    }


def digits(n, rng):
    """`n` digits to train on, 300 to tune on and 297 to report; the last two whatever `n` is."""
    train, validation, test = split(rng, 1200, 300)
    return [part[:n] for part in train], validation, test


@cache
def characters():
    """Python's documentation as numbers, and how many different characters it has."""
    known, ids = np.unique(corpus.byte_ids(corpus.documentation()), return_inverse=True)
    return [torch.tensor(part) for part in corpus.split(ids, 0.9, 0.05)], len(known)


def text(n, rng):
    """`n` consecutive examples to train on, from anywhere in the first nine tenths of the text."""
    (train, *rest), _ = characters()
    start = int(torch.randint(len(train) - n - CONTEXT + 1, (), generator=rng))
    windows = [ids.unfold(0, CONTEXT + 1, 1) for ids in (train[start : start + n + CONTEXT], *rest)]
    return [(w[:, :-1], w[:, -1]) for w in windows]


def digits_network(p, seed):
    rng = torch.Generator().manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), Dropout(p, rng),
        nn.Linear(128, 128), nn.ReLU(), Dropout(p, rng),
        nn.Linear(128, 10),
    )  # fmt: skip


def text_network(p, seed):
    rng = torch.Generator().manual_seed(seed)
    _, symbols = characters()
    return nn.Sequential(
        nn.Embedding(symbols, 16), nn.Flatten(),
        nn.Linear(16 * CONTEXT, 128), nn.ReLU(), Dropout(p, rng),
        nn.Linear(128, symbols),
    )  # fmt: skip


def batches(n, updates, size, rng):
    """The rows of every update: all `n` in a new order, then all again, as often as needed."""
    epochs = ceil(updates * size / n)
    order = torch.cat([torch.randperm(n, generator=rng) for _ in range(epochs)])
    return order[: updates * size].view(updates, size)


def picture(rows):
    from optlib.figures import curves

    lines = {}
    for amount in ("10 epochs", "one pass"):
        arms = [row for row in rows if row["part"] == f"text, {amount}"]
        for what, label in (("loss_gap", "gap"), ("test_loss", "test")):
            y = [row[f"{what}_above_none"]["mean"] for row in arms]
            lines[f"{label},\n{amount}"] = ([row["p"] for row in arms], y)
    return curves(
        lines, xlabel="probability to drop", ylabel="loss, against no dropout (nats)", level=0
    )
