"""SGD at a constant rate ends in a cloud: its size is the rate over the batch, to 2/h (C42, R14).

On the loss w**2 / 2, with a gradient noise of variance 1/B, the cloud's variance is simulated and
compared with `stationary_variance`; a theory of null is infinite.
"""

import numpy as np

from experiments.protocol import spread
from optlib import figures
from optlib.large_batch.scaling import stationary_variance
from optlib.optimizers.sgd import sgd

SEEDS = (10, 50)
PARTICLES = 4000
SETTINGS = [(0.01, 1), (0.1, 10), (1.0, 100), (1.9, 190), (2.0, 200)]  # one ratio, a rising rate


def run(seeds, full=False):
    return [row(lr, batch_size, seeds) for lr, batch_size in SETTINGS]


def row(lr, batch_size, seeds):
    simulated = [cloud(lr, batch_size, np.random.default_rng(seed)) for seed in seeds]
    theory = stationary_variance(lr, batch_size)
    return {"lr": lr, "batch_size": batch_size, "theory": theory,
            "at_step_500": spread([early for early, _ in simulated]),
            "at_step_1000": spread([late for _, late in simulated])}  # fmt: skip


def cloud(lr, batch_size, rng):
    """The variance of many particles, 500 and 1000 steps after they left the minimum."""
    w = np.zeros(PARTICLES)
    variances = []
    for t in range(1, 1001):
        g = w + rng.standard_normal(PARTICLES) / batch_size**0.5
        (w,) = sgd(w, g, lr=lr)
        if t % 500 == 0:
            variances.append(np.mean(w**2))
    return variances


def picture(rows):
    """The variance of the cloud at one ratio of rate to batch: theory, and two moments of a run."""
    finite = [row for row in rows if row["theory"] is not None]
    rates = [row["lr"] for row in rows]
    return figures.curves(
        {
            "theory": ([row["lr"] for row in finite], [row["theory"] for row in finite]),
            "after 500 steps": (rates, [row["at_step_500"]["mean"] for row in rows]),
            "after 1000 steps": (rates, [row["at_step_1000"]["mean"] for row in rows]),
        },
        xscale="log", yscale="log",
        xlabel="learning rate, in a fixed ratio to the batch size", ylabel="variance of the weight",
    )  # fmt: skip
