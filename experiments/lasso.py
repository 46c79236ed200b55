"""The L1 optimum has exact zeros; a subgradient step never finds them, a proximal step does (C31).

Diabetes, ten features: sklearn's Lasso, our proximal step (ISTA), a decreasing subgradient step on
the same loss |y - Xw|^2 / 2n + alpha * |w|_1, and ridge regression. Nothing is random.
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, Ridge

from optlib import figures
from optlib.optimizers.sgd import sgd
from optlib.regularization.penalties import l1_penalty, proximal_step

SEEDS = (0, 0)
ALPHAS = [0.01, 0.1, 0.5, 1.0, 2.0]


def run(seeds, full=False):
    data = load_diabetes()
    X, y = data.data, data.target - data.target.mean()
    steps = 200_000 if full else 50_000
    return [row for alpha in ALPHAS for row in compare(X, y, alpha, steps, data.feature_names)]


def compare(X, y, alpha, steps, names):
    n = len(y)
    covariance, target = X.T @ X / n, X.T @ y / n
    lr = 1 / np.linalg.eigvalsh(covariance)[-1]

    def gradient(w):
        return covariance @ w - target

    def loss(w):
        return np.mean((y - X @ w) ** 2) / 2 + alpha * np.abs(w).sum()

    found = {
        "sklearn": Lasso(alpha=alpha, tol=1e-12, max_iter=1_000_000).fit(X, y).coef_,
        "proximal": proximal(gradient, alpha, lr, steps),
        "subgradient": subgradient(gradient, alpha, lr, steps),
        "ridge": Ridge(alpha=alpha).fit(X, y).coef_,
    }
    lowest = loss(found["sklearn"])
    for method, w in found.items():
        yield {
            "alpha": alpha, "method": method, "nonzero": int(np.count_nonzero(w)),
            "loss_above_least": None if method == "ridge" else loss(w) - lowest,
            "difference_to_sklearn": np.abs(w - found["sklearn"]).max(),
            "weights": {name: round(float(x), 6) for name, x in zip(names, w)},
        }  # fmt: skip


def proximal(gradient, alpha, lr, steps):
    w = np.zeros(10)
    for _ in range(steps):
        w, old = proximal_step(w, gradient(w), lr=lr, l1=alpha), w
        if np.array_equal(w, old):
            break
    return w


def subgradient(gradient, alpha, lr, steps):
    w = np.zeros(10)
    for t in range(steps):
        g = gradient(w) + l1_penalty(w, alpha)[1]
        (w,) = sgd(w, g, lr=lr / (1 + t) ** 0.5)
    return w


def picture(rows):
    """How many of the ten weights are not zero, as the penalty grows."""
    names = {"sklearn": "L1 optimum", "proximal": "L1, proximal steps",
             "subgradient": "L1, subgradient steps"}  # fmt: skip
    lines = {
        name: [row["nonzero"] for row in rows if row["method"] == method]
        for method, name in names.items()
    }
    alphas = [row["alpha"] for row in rows if row["method"] == "sklearn"]
    return figures.curves(
        lines, x=alphas, xscale="log", ylim=(0, 10.5),
        xlabel="weight of the penalty", ylabel="weights that are not zero",
    )  # fmt: skip
