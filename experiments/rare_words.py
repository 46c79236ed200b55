"""Gradient descent learns rare words late, sign descent and Adam learn them with the others (C09).

First a softmax on one-hot inputs, class k with frequency ~ 1/k (Kunstner et al. 2024): all exact.
Then text: the next word from the last one, full batch, rates tuned on validation; training and
test loss by how frequent the word is. No gradient noise takes part. What is learned of rare words
in training need not help on the test text. It shows a mechanism, not its share in practice.
"""

import numpy as np

from experiments.protocol import log_grid, tune
from optlib import corpus, figures
from optlib.beyond.lion import lion
from optlib.optimizers.adam import adam
from optlib.optimizers.sgd import sgd

SEEDS = (0, 0)
CLASSES = 50
WORDS, STEPS = 300, 200


def descent(w, gradient, lr, steps):
    for _ in range(steps):
        (w,) = sgd(w, gradient(w), lr=lr)
    return w


def sign_descent(w, gradient, lr, steps):
    memory = 0 * w
    for _ in range(steps):  # Lion without a memory is the sign
        w, memory = lion(w, gradient(w), memory, lr=lr, betas=(0.0, 0.0))
    return w


def adam_descent(w, gradient, lr, steps):
    m, v = 0 * w, 0 * w
    for t in range(1, steps + 1):
        w, m, v = adam(w, gradient(w), m, v, t, lr=lr)
    return w


METHODS = {"gradient descent": descent, "sign descent": sign_descent, "adam": adam_descent}
GRIDS = {
    "gradient descent": log_grid(0.1, 1000, 9),
    "sign descent": log_grid(0.001, 10, 9),
    "adam": log_grid(0.001, 10, 9),
}


def run(seeds, full=False):
    lengths = (200, 2000, 20_000)
    rows = [zipf("gradient descent", 1.0, steps) for steps in lengths]
    rows += [zipf("sign descent", 0.05, 200), zipf("adam", 0.05, 200)]
    return rows + list(text(2000 if full else STEPS))


def log_softmax(scores):
    scores = scores - scores.max(axis=0)
    return scores - np.log(np.exp(scores).sum(axis=0))


def zipf(method, lr, steps):
    """The loss of the most frequent class, of the tenth and of the fiftieth."""
    frequency = 1 / np.arange(1, CLASSES + 1)
    frequency /= frequency.sum()

    def gradient(w):  # column k: what input k, a one-hot, makes of the scores
        return frequency * (np.exp(log_softmax(w)) - np.eye(CLASSES))

    w = METHODS[method](np.zeros((CLASSES, CLASSES)), gradient, lr, steps)
    losses = -np.diag(log_softmax(w))
    return {"what": "zipf", "method": method, "lr": lr, "steps": steps,
            "class_1": losses[0], "class_10": losses[9], "class_50": losses[49]}  # fmt: skip


def text(steps):
    """The losses of each method, over all words and by how frequent they are."""
    tokens = corpus.words(corpus.documentation())
    train, validation, test = corpus.split(np.arange(len(tokens)), 0.8, 0.1)
    known = corpus.vocabulary(tokens[: len(train)], WORDS)
    ids = corpus.word_ids(tokens, known)
    pairs = [counts(ids[part]) for part in (train, validation, test)]
    on_train, on_validation, on_test = (n / n.sum() for n in pairs)
    given = on_train.sum(axis=0)

    def gradient(w):
        return given * np.exp(log_softmax(w)) - on_train

    def trained(method, lr):
        return METHODS[method](np.zeros((WORDS, WORDS)), gradient, lr, steps)

    def validate(method, lr):
        with np.errstate(over="ignore", invalid="ignore"):
            return -np.sum(on_validation * log_softmax(trained(method, lr)))

    tuned = tune(validate, GRIDS)
    groups = frequency_groups(pairs[0].sum(axis=1))
    for method, arm in tuned.items():
        losses = -log_softmax(trained(method, arm.rate))
        row = {"what": "text", "method": method, "steps": steps, "lr": arm.rate,
               "accepted": arm.accepted, "trials": len(arm.trials),
               "train_loss": np.sum(on_train * losses),
               "test_loss": np.sum(on_test * losses)}  # fmt: skip
        for name, group in groups.items():
            for part, share in (("train", on_train[group]), ("test", on_test[group])):
                row[f"{part}_loss_{name}"] = np.sum(share * losses[group]) / share.sum()
        yield row


def counts(ids):
    """How often word i (row) follows word j (column)."""
    n = np.zeros((WORDS, WORDS))
    np.add.at(n, (ids[1:], ids[:-1]), 1)
    return n


def frequency_groups(occurrences):
    """The vocabulary in three: the ten most frequent words, the next ninety, the rest."""
    order = np.argsort(-occurrences, kind="stable")
    return {"top_10": order[:10], "next_90": order[10:100], "rare_200": order[100:]}


def picture(rows):
    """The losses of each method on the text, by how frequent the word to predict is."""
    labels = {
        f"{part}_loss_{group}": f"{part}, {words}"
        for part in ("train", "test")
        for group, words in (
            ("top_10", "ten most frequent"), ("next_90", "next ninety"), ("rare_200", "other words")
        )
    }  # fmt: skip
    return figures.ranges(
        {
            row["method"]: {words: (row[key],) * 3 for key, words in labels.items()}
            for row in rows
            if row["what"] == "text"
        },
        xlabel="loss per word",
    )
