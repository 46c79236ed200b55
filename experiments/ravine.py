"""In a ravine momentum needs the root of the steps; elsewhere nothing is promised (C03-C07).

Exact, nothing is random: quadratics with curvatures 1 and 1/kappa, Lessard's function on which
heavy ball goes round for ever, the two conventions of momentum across a drop of the rate, and
the rate at which gradient descent begins to diverge.
"""

import numpy as np
import torch

from optlib import figures
from optlib.optimizers.momentum import momentum, nesterov
from optlib.optimizers.sgd import sgd

SEEDS = (0, 0)


def run(seeds, full=False):
    kappas = [10, 100, 1000, 10_000] + ([100_000] if full else [])
    rows = [row for kappa in kappas for row in ravine(kappa)]
    rows += [cycle(start) for start in (3.0, 3.07, 3.2, 3.46)]
    return rows + [drop_of_the_rate(), *map(divergence, (1.9, 1.99, 2.0, 2.01))]


def ravine(kappa):
    """Steps from (1, 1) until |w|/sqrt(2) <= 1e-6, each method at the rates that theory gives."""
    curvature = np.array([1 / kappa, 1.0])
    root = kappa**0.5
    heavy_beta = ((root - 1) / (root + 1)) ** 2
    best_beta = (root - 1) / (root + 1)
    arms = {
        "gradient descent": (sgd, {"lr": 2 / (1 + 1 / kappa)}, 0, (kappa - 1) / (kappa + 1)),
        "heavy ball": (
            momentum, {"lr": 4 / (1 + 1 / root) ** 2, "beta": heavy_beta}, 1, heavy_beta**0.5,
        ),
        "nesterov": (nesterov, {"lr": 1.0, "beta": best_beta}, 1, (1 - 1 / root) ** 0.5),
    }  # fmt: skip
    for method, (rule, hyper, memory, contraction) in arms.items():
        state = (np.ones(2), *[np.zeros(2)] * memory)
        steps = 0
        while np.hypot(*position(rule, state, hyper)) > 1e-6 * 2**0.5:
            state = rule(state[0], curvature * state[0], *state[1:], **hyper)
            steps += 1
        yield {"what": "ravine", "kappa": kappa, "method": method, "steps": steps,
               "contraction": contraction, **hyper}  # fmt: skip


def position(rule, state, hyper):
    """Where the method is: nesterov's w is the look-ahead point, beta * v ahead of it."""
    return state[0] + hyper["beta"] * state[1] if rule is nesterov else state[0]


def bent(x):
    """The derivative of Lessard, Recht & Packard's (2016) function: convex, curvatures 1 and 25."""
    if x < 1:
        return 25 * x
    return x + 24 if x < 2 else 25 * x - 24


def cycle(start):
    """Heavy ball, tuned for curvatures from 1 to 25, beside gradient descent: the last points."""
    w, v = start, 0.0
    points = []
    for _ in range(3000):
        w, v = momentum(w, bent(w), v, lr=1 / 9, beta=4 / 9)
        points.append(w)
    plain = start
    for _ in range(3000):
        (plain,) = sgd(plain, bent(plain), lr=1 / 13)
    return {
        "what": "cycle", "start": start, "heavy_ball": sorted(points[-3:]),
        "gradient_descent": plain,
    }  # fmt: skip


def drop_of_the_rate():
    """At steady state under a gradient of 1 the rate falls from .1 to .01: the very next step."""
    w, v = 0.0, 0.0
    for _ in range(1000):
        w, v = momentum(w, 1.0, v, lr=0.1, beta=0.9)
    ours = w - momentum(w, 1.0, v, lr=0.01, beta=0.9)[0]

    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    w.grad = torch.ones_like(w)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
    for _ in range(1000):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.01
    before = w.item()
    optimizer.step()
    return {"what": "drop of the rate", "lesson": ours, "torch": before - w.item()}


def divergence(lr):
    """|w| after 2000 steps on a curvature of 1, from 1: theory says |1 - lr| to the power 2000."""
    w = 1.0
    for _ in range(2000):
        (w,) = sgd(w, w, lr=lr)
    return {"what": "divergence", "lr": lr, "after_2000_steps": abs(w)}


def picture(rows):
    """The steps of each method against the condition number."""
    steps = {"SGD": "gradient descent", "momentum": "heavy ball", "Nesterov": "nesterov"}
    lines = {
        name: [row["steps"] for row in rows if row.get("method") == method]
        for name, method in steps.items()
    }
    kappas = [row["kappa"] for row in rows if row.get("method") == "nesterov"]
    return figures.curves(
        lines, x=kappas, xscale="log", yscale="log",
        xlabel="condition number", ylabel="steps to a distance of 1e-6",
    )  # fmt: skip
