"""The printed reference values R01 to R19 of the claims, from the book's own rules.

Each is the number that a chapter prints, to the digits printed there. Those that are not here stand
with their rule: R01 in schedules/test_restarts, R05 in optimizers/test_adam and here, R07 in
regularization/test_early_stopping, R08 in test_batchnorm, R09 in optimizers and test_penalties, R10
in test_penalties, R11 in test_dropout, R12 and R19 in schedules/test_decay, R13 in
optimizers/test_momentum; the last test sees that each is somewhere.
"""

import math
import re
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from optlib.large_batch.accumulation import weighted_mean
from optlib.large_batch.lamb import lamb
from optlib.large_batch.lars import lars
from optlib.large_batch.scaling import relative_examples, relative_steps, stationary_variance
from optlib.optimizers.adam import adam
from optlib.optimizers.momentum import momentum, nesterov
from optlib.optimizers.rmsprop import rmsprop
from optlib.optimizers.sgd import sgd
from optlib.regularization.early_stopping import generalization_loss
from optlib.regularization.penalties import decoupled_decay
from optlib.schedules.cosine import cosine_annealing
from optlib.schedules.restarts import warm_restarts


def test_r01_sgdr_and_cosine():
    """R01: the rates of SGDR, the fractions of a cosine and their mean."""
    rates = [warm_restarts(t, 10, 2, 0.05) for t in (0, 5, 9, 10, 20, 29, 30, 50, 69, 70)]
    printed = [0.05, 0.025, 0.00122359, 0.05, 0.025, 0.00030779, 0.05, 0.025, 7.707e-5, 0.05]
    assert rates == pytest.approx(printed, abs=5e-9)
    fractions = [cosine_annealing(t, 1, 1.0) for t in (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)]
    assert fractions == pytest.approx([1, 0.975528, 0.853553, 0.5, 0.146447, 0.024472, 0], abs=5e-7)
    mean = sum(cosine_annealing(t, 100, 1.0) for t in range(100)) / 100
    assert mean == pytest.approx(0.505, rel=1e-12)


def steps_on_a_bowl(step, kappa, states=1):
    """The steps until both weights of x^2 / 2 along and across (1 / kappa, 1) are within 1e-6."""
    curvature = np.array([1 / kappa, 1.0])
    values = [np.ones(2)] + [np.zeros(2)] * states
    for k in count():
        if np.linalg.norm(values[0]) / math.sqrt(2) <= 1e-6:
            return k
        values = step(values[0], curvature * values[0], *values[1:])


@pytest.mark.parametrize(
    "kappa, descent, ball, accelerated",
    [(10, 69, 27, 43), (100, 691, 93, 155), (1000, 6908, 315, 508), (10_000, 69_078, 1056, 1624)],
)
def test_r02_steps_on_quadratics(kappa, descent, ball, accelerated):
    """R02: gradient descent, the heavy ball and Nesterov's method, each at its best rate."""
    root, mu = math.sqrt(kappa), 1 / kappa
    best = 2 / (1 + mu)
    assert steps_on_a_bowl(partial(sgd, lr=best), kappa, states=0) == descent
    lr, beta = 4 / (1 + math.sqrt(mu)) ** 2, ((root - 1) / (root + 1)) ** 2
    assert steps_on_a_bowl(partial(momentum, lr=lr, beta=beta), kappa) == ball
    # nesterov's w is the point where the gradient is taken: x is beta v past it
    beta_n, k = (root - 1) / (root + 1), 0
    curvature = np.array([mu, 1.0])
    y, v = np.ones(2), np.zeros(2)
    while np.linalg.norm(y + beta_n * v) / math.sqrt(2) > 1e-6:
        y, v = nesterov(y, curvature * y, v, lr=1.0, beta=beta_n)
        k += 1
    assert k == accelerated
    if kappa == 100:
        printed = [1.980198, 0.980198, 3.305785, 0.669421, 0.818182, 0.818182]
        shown = [best, 1 - best * mu, lr, beta, math.sqrt(beta), beta_n]
        assert shown == pytest.approx(printed, abs=5e-7)
        assert math.log(1e-6) / math.log(math.sqrt(beta)) == pytest.approx(68.8, abs=0.05)


def kinked(x):
    """The slope of Lessard's f: 25, then 1, then 25 again."""
    return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24


@pytest.mark.parametrize("start", [3.07, 3.2, 3.46])
def test_r03_the_heavy_ball_goes_round_for_ever(start):
    """R03: three points in turn; from 3.0, or by gradient descent at 1/13, the minimum."""
    x, v, last = start, 0.0, []
    for _ in range(3000):
        x, v = momentum(x, kinked(x), v, lr=1 / 9, beta=4 / 9)
        last = [*last[-2:], x]
    assert sorted(last) == pytest.approx([-2208 / 1225, 792 / 1225, 2592 / 1225], rel=1e-9)
    assert sorted(last) == pytest.approx([-1.802449, 0.646531, 2.115918], abs=5e-7)
    (x, v), y = (3.0, 0.0), start
    for _ in range(500):
        x, v = momentum(x, kinked(x), v, lr=1 / 9, beta=4 / 9)
        (y,) = sgd(y, kinked(y), lr=1 / 13)
    assert abs(x) < 1e-9 and abs(y) < 1e-9


@pytest.mark.parametrize(
    "beta, memory, half_life, examples",
    [
        (0.9, 10, 6.58, 19),
        (0.95, 20, 13.51, 39),
        (0.98, 50, 34.31, 99),
        (0.99, 100, 68.97, 199),
        (0.999, 1000, 692.80, 1999),
    ],
)
def test_r04_the_memory_of_a_mean(beta, memory, half_life, examples):
    """R04: from the weights that momentum gives to old gradients, a unit pulse long ago."""
    v, weights = 0.0, []
    for t in range(30 * memory):
        _, v = momentum(0.0, float(t == 0), v, lr=1.0, beta=beta)
        weights.append(v)
    weights = np.array(weights)
    assert weights.sum() == pytest.approx(memory, rel=1e-9)
    assert weights.sum() ** 2 / (weights**2).sum() == pytest.approx(examples, rel=1e-9)
    assert math.log(0.5) / math.log(weights[1]) == pytest.approx(half_life, abs=5e-3)


def test_r05_first_steps():
    """R05: Adam's first step for gradients of every size, and RMSprop's, which is not corrected."""
    steps = [-adam(0.0, g, 0.0, 0.0, 1)[0] for g in (1e-6, 1e-3, 1.0, 1000.0)]
    assert steps == pytest.approx([9.900990e-4, 9.999900e-4, 1e-3, 1e-3], abs=5e-11)
    for beta, times in ((0.99, 10), (0.9, 3.162278)):
        w, _ = rmsprop(0.0, 1000.0, 0.0, lr=1e-3, beta=beta)
        assert -w / 1e-3 == pytest.approx(times, abs=5e-7)
    for beta2, times in ((0.999, 3.162278), (0.95, 0.447214)):  # what the correction undoes
        w, m, v = adam(0.0, 1.0, 0.0, 0.0, 1, betas=(0.9, beta2), eps=0.0)
        assert m / v**0.5 == pytest.approx(times, abs=5e-7)
    gradients = [0.1] * 9 + [-0.9]
    assert sum(gradients) == pytest.approx(0, abs=1e-15)
    assert sum(np.sign(gradients)) == 8


def wrong_way(T, period, large, small, betas, lr, rule="adam", eps=0.0, corrected=False):
    """Reddi's game on [-1, 1]: where the weight ends, and the mean regret against x = -1.

    The gradient is `large` at every first of `period` steps and -`small` at the others. Uncorrected
    moments are Adam's own: m_hat and v_hat are m and v if t is endless.
    """
    x = m = v = most = regret = 0.0
    for t in range(1, T + 1):
        g = large if t % period == 1 else -small
        regret += g * (x + 1)
        clock = t if corrected else 10**9
        rate = lr / math.sqrt(t)
        if rule == "adam":
            x, m, v = adam(x, g, m, v, clock, lr=rate, betas=betas, eps=eps)
        else:  # AMSGrad, which the book has no rule for: the largest v so far divides
            _, m, v = adam(x, g, m, v, clock, lr=rate, betas=betas, eps=eps)
            most = max(most, v)
            x = x - rate * m / (most**0.5 + eps)
        x = min(1.0, max(-1.0, x))
    return x, regret / T


@pytest.mark.parametrize("C, printed", [(3, 0.66658), (4, 1.33301), (10, 5.33163)])
def test_r06_adam_goes_the_wrong_way(C, printed):
    """R06: T is 3e5, as printed: the regret's digits depend on it."""
    x, regret = wrong_way(300_000, 3, C, 1, (0.0, 1 / (1 + C**2)), 0.1)
    assert x == 1.0
    assert regret == pytest.approx(printed, abs=5e-6)
    assert regret == pytest.approx(2 * (C - 2) / 3, abs=2e-3)


def test_r06_amsgrad_and_ordinary_betas_do_not():
    x, regret = wrong_way(300_000, 3, 3, 1, (0.0, 0.1), 0.1, rule="amsgrad")
    assert x == pytest.approx(-0.99987, abs=5e-6)
    assert regret == pytest.approx(0.00082, abs=5e-6)
    x, regret = wrong_way(300_000, 3, 3, 1, (0.9, 0.999), 0.1, eps=1e-8, corrected=True)
    assert x == pytest.approx(-1, abs=1e-3)
    assert regret == pytest.approx(0.00023, abs=5e-6)


def test_r06_with_momentum():
    """A million steps each, as printed: after fewer the regret has other digits."""
    game = 1_000_000, 101, 1010.0, 10.0
    x, regret = wrong_way(*game, (0.9, 0.99), 0.5)
    assert x == 1.0
    assert regret == pytest.approx(0.22804, abs=5e-6)
    x, _ = wrong_way(*game, (0.9, 0.99), 0.5, rule="amsgrad")
    assert x == pytest.approx(-0.99732, abs=5e-6)
    x, _ = wrong_way(*game, (0.9, 0.9999), 0.5, corrected=True)
    assert x == pytest.approx(-0.99663, abs=5e-6)


def test_r06_two_steps_of_amsgrad():
    """The example 3.2 of Phuong & Phong, whose beta1 falls: the weight rises again."""
    x, m, v, most, path = 1.0, 0.0, 0.0, 0.0, []
    for t, g in ((1, 1010.0), (2, -10.0)):
        betas = 0.9 * 0.001 ** (t - 1), 0.999
        _, m, v = adam(x, g, m, v, 10**9, betas=betas)
        most = max(most, v)
        x = x - 0.001 / math.sqrt(t) * m / most**0.5
        path.append(x)
    assert path == pytest.approx([0.9968377223, 0.9970569035], abs=5e-11)


def test_r07_where_gl_stops():
    """R07: GL_5 at epoch 7, and GL_2 at 4, before the minimum at 5."""
    val = [1, 0.8, 0.7, 0.72, 0.69, 0.71, 0.735, 0.74, 0.75]
    gl = [generalization_loss(val[:t]) for t in range(1, 10)]
    stops = {a: next(t for t, x in enumerate(gl, start=1) if x > a) for a in (5, 2)}
    assert stops == {5: 7, 2: 4} and val.index(min(val)) + 1 == 5


def test_r09_what_decay_forgets():
    """R09: after 1 / (lr wd) steps of decoupled decay a share of 1 / e is left."""
    for lr, decay, steps in ((1e-3, 0.01, 100_000), (3e-4, 0.1, 33_333), (1.5e-4, 0.1, 66_667)):
        once = decoupled_decay(1.0, lr=lr, weight_decay=decay)
        assert round(1 / (lr * decay)) == steps
        assert once**steps == pytest.approx(1 / math.e, rel=5e-5)


def test_r14_the_noise_that_stays():
    """R14: the variance of SGD on a bowl, the batch growing with the rate."""
    printed = {0.01: 0.005025, 0.1: 0.005263, 1: 0.01, 1.9: 0.1, 2: math.inf}
    for lr, variance in printed.items():
        assert stationary_variance(lr, 100 * lr) == pytest.approx(variance, abs=5e-7)


def test_r15_at_the_critical_batch():
    """R15: twice the steps and twice the examples at b = 1."""
    assert (relative_steps(256, 256), relative_examples(256, 256)) == (2, 2)
    assert relative_steps(64, 256) == 1 + 1 / 0.25 and relative_examples(64, 256) == 1 + 0.25


def test_r16_means_of_means():
    """R16: 10 tokens of mean loss 4 and 1000 of 2."""
    assert weighted_mean([4.0, 2.0], [1, 1]) == 3.0
    assert weighted_mean([4.0, 2.0], [10, 1000]) == pytest.approx(2.0198020, abs=5e-8)


def test_r17_trust_ratios():
    """R17: the local rates of LARS and the first step of LAMB, w = (3, 4), g = (.6, .8)."""
    w, g, zero = np.array([3.0, 4.0]), np.array([0.6, 0.8]), np.zeros(2)
    for decay, local in ((0.0, 0.005), (1e-4, 0.00499750), (5e-4, 0.00498753)):
        _, v = lars(w, g, zero, weight_decay=decay)
        assert v / (g + decay * w) == pytest.approx([local] * 2, abs=5e-9)
    new, m, v = lamb(w, g, zero, zero, 1, lr=1.0)
    assert w - new == pytest.approx([3.518412, 3.552573], abs=5e-7)
    r = g / (g + 1e-6) + 0.01 * w
    assert [*r, np.linalg.norm(r)] == pytest.approx([1.029998, 1.039999, 1.463726], abs=5e-7)
    assert 5 / np.linalg.norm(r) == pytest.approx(3.415940, abs=5e-7)


def zipf_losses(rule, steps, lr, classes=50):
    """The loss of every class of a softmax without inputs' noise, each input its own class."""
    frequency = 1 / np.arange(1, classes + 1)
    frequency /= frequency.sum()
    w, shown = np.zeros((classes, classes)), {}  # row k: the logits of class k
    for t in range(1, max(steps) + 1):
        p = np.exp(w - w.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        g = frequency[:, None] * (p - np.eye(classes))
        (w,) = rule(w, g, lr)
        if t in steps:
            z = w - w.max(1, keepdims=True)
            shown[t] = (np.log(np.exp(z).sum(1)) - z.diagonal())[[0, 9, 49]]
    return shown


def test_r18_rare_classes_learn_late():
    """R18: the losses of classes 1, 10 and 50 by gradient descent, and by the sign."""
    losses = zipf_losses(lambda w, g, lr: sgd(w, g, lr=lr), {200, 2000, 20_000}, 1.0)
    assert losses[200] == pytest.approx([0.0258015, 0.782471, 3.061250], rel=1e-5)
    assert losses[2000] == pytest.approx([0.00224811, 0.0260468, 0.230653], rel=1e-5)
    assert losses[20_000] == pytest.approx([0.000220989, 0.00225125, 0.0120563], rel=1e-5)
    (signed,) = zipf_losses(lambda w, g, lr: sgd(w, np.sign(g), lr=lr), {200}, 0.05).values()
    assert signed == pytest.approx([1.0099652e-7] * 3, rel=1e-7)


def test_every_printed_value_has_its_test():
    """Some test or other names every R-number."""
    named = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8").partition("import ")[2]  # without the list above
        named |= {word.upper() for word in re.findall(r"\bR\d\d\b|(?<=def test_)r\d\d", text)}
    assert {f"R{k:02}" for k in range(1, 20)} <= named
