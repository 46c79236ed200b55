"""A rate that goes up again lets more escape a minimum, and that need not pay (C06, C23).

f = x^4/4 - x^2/2 + .15x has a deep minimum at -1.07, a barrier at .15 and a shallow one at .91. Two
thousand particles start in the shallow one and feel a noisy gradient: once under four schedules,
once with momentum at equal lr/(1 - beta). Without noise, one ball rolls down from x = 2.
One dimension: it shows what can happen, and proves nothing about networks.
"""

import numpy as np

from experiments.protocol import difference, spread
from optlib import figures
from optlib.optimizers.momentum import momentum
from optlib.optimizers.sgd import sgd
from optlib.schedules.cosine import cosine_annealing
from optlib.schedules.decay import constant, linear_decay
from optlib.schedules.restarts import warm_restarts

SEEDS = (10, 50)
PARTICLES, STEPS = 2000, 700
DEEP, BARRIER, SHALLOW = sorted(np.roots([1, 0, -1, 0.15]).real)
PEAK, NOISE = 0.1, 1.5
BETAS = [0.0, 0.5, 0.8, 0.9, 0.95]
SCHEDULES = {
    "constant": lambda t: constant(t, PEAK),
    "linear": lambda t: linear_decay(t, STEPS, PEAK),
    "cosine": lambda t: cosine_annealing(t, STEPS, PEAK),
    "warm restarts": lambda t: warm_restarts(t, 100, 2, PEAK),  # 100 + 200 + 400 steps
}


def run(seeds, full=False):
    by_schedule = {
        name: [noisy(schedule, 0.0, NOISE, seed) for seed in seeds]
        for name, schedule in SCHEDULES.items()
    }
    rows = [row("schedule", name, of, by_schedule["cosine"]) for name, of in by_schedule.items()]
    by_beta = {
        beta: [noisy(lambda t, beta=beta: (1 - beta) * PEAK, beta, NOISE, seed) for seed in seeds]
        for beta in BETAS
    }
    rows += [row("momentum", beta, of, by_beta[0.0]) for beta, of in by_beta.items()]
    return rows + [roll(beta) for beta in BETAS]


def loss(x):
    return x**4 / 4 - x**2 / 2 + 0.15 * x


def gradient(x):
    return x**3 - x + 0.15


def noisy(schedule, beta, noise, seed):
    """(Share of the particles that end beyond the barrier, mean loss at the end)."""
    rng = np.random.default_rng(seed)  # every arm sees the same noise
    w, v = np.full(PARTICLES, SHALLOW), np.zeros(PARTICLES)
    for t in range(STEPS):
        g = gradient(w) + noise * rng.standard_normal(PARTICLES)
        w, v = momentum(w, g, v, lr=schedule(t), beta=beta)
    return np.mean(w < BARRIER), np.mean(loss(w))


def row(what, arm, results, baseline):
    """An arm, and how far it is from the baseline under the same seeds."""
    (escaped, final), (base_escaped, base_final) = zip(*results), zip(*baseline)
    return {
        "what": what,
        "arm": arm,
        "escaped": spread(escaped),
        "final_loss": spread(final),
        "escaped_more": difference(escaped, base_escaped),
        "final_loss_above": difference(final, base_final),
    }


def roll(beta):
    """Without noise, from x = 2 at lr .01: where does the ball come to rest?"""
    w, v = 2.0, 0.0
    for _ in range(20_000):
        if beta:
            w, v = momentum(w, gradient(w), v, lr=0.01, beta=beta)
        else:
            (w,) = sgd(w, gradient(w), lr=0.01)
    return {"what": "roll", "arm": beta, "rests_at": w, "crossed": bool(w < BARRIER)}


def picture(rows):
    """How many escaped, and how far above the deep minimum the mean loss ended."""
    arms = {
        row["arm"] if row["what"] == "schedule" else f"constant, momentum {row['arm']}": row
        for row in rows
        if row["what"] == "schedule" or (row["what"] == "momentum" and row["arm"])
    }
    escaped = {arm: limits(row["escaped"]) for arm, row in arms.items()}
    above = {arm: limits(row["final_loss"], loss(DEEP)) for arm, row in arms.items()}
    return figures.ranges(
        {"share that escaped": escaped, "final loss above the least": above},
        xlabel="share, or loss",
    )


def limits(of, least=0.0):
    return of["low"] - least, of["mean"] - least, of["high"] - least
