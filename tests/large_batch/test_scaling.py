"""Scaling and noise scale: printed values, closed forms, a problem whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optlib.large_batch.scaling import (
    gradient_and_noise,
    noise_scale,
    relative_examples,
    relative_steps,
    scaled_lr,
    stationary_variance,
)
from optlib.optimizers.sgd import sgd


def test_linear_and_square_root():
    assert scaled_lr(0.1, 1024, 256) == pytest.approx(0.4, rel=1e-15)
    assert scaled_lr(0.1, 1024, 256, rule="sqrt") == pytest.approx(0.2, rel=1e-15)
    assert scaled_lr(0.1, 64, 256) == pytest.approx(0.025, rel=1e-15)
    assert scaled_lr(0.1, 256, 256, rule="sqrt") == 0.1


@pytest.mark.parametrize("rule", ["cubic", "", None, "Linear", "square_root"])
def test_another_rule_is_refused_and_the_legal_ones_named(rule):
    with pytest.raises(ValueError, match="'linear', 'sqrt'"):
        scaled_lr(0.1, 512, 256, rule=rule)


@pytest.mark.parametrize("sizes", [(0, 256), (256, 0), (-1, 256), (256, -1)])
def test_a_batch_has_at_least_something_in_it(sizes):
    with pytest.raises(ValueError, match="batch sizes"):
        scaled_lr(0.1, *sizes)


sizes = st.integers(1, 10**6)


@given(sizes, sizes, sizes, st.sampled_from(["linear", "sqrt"]))
def test_two_scalings_are_one(a, b, c, rule):
    twice = scaled_lr(scaled_lr(0.3, b, a, rule=rule), c, b, rule=rule)
    assert twice == pytest.approx(scaled_lr(0.3, c, a, rule=rule), rel=1e-12)


@pytest.mark.parametrize(
    "lr, batch_size, variance",
    [(0.01, 1, 0.005025), (0.1, 10, 0.005263), (1, 100, 0.01), (1.9, 190, 0.1), (2, 200, math.inf)],
)
def test_printed_stationary_variances(lr, batch_size, variance):
    assert stationary_variance(lr, batch_size) == pytest.approx(variance, abs=5e-7)


@pytest.mark.parametrize("lr, batch_size, h, s2", [(0.3, 4, 1.0, 1.0), (0.5, 8, 2.5, 0.7)])
def test_stationary_variance_is_what_sgd_settles_at(lr, batch_size, h, s2):
    rng = np.random.default_rng(0)
    w = np.zeros(200_000)
    for _ in range(60):
        noise = rng.standard_normal(w.shape) * (s2 / batch_size) ** 0.5
        (w,) = sgd(w, h * w + noise, lr=lr)
    # the standard error of a variance from 200,000 values is 0.3 %
    assert w.var() == pytest.approx(stationary_variance(lr, batch_size, h, s2), rel=0.015)


def test_noise_scale_trades_steps_for_examples():
    assert relative_steps(64, 64) == relative_examples(64, 64) == 2
    for b in (0.25, 1, 8):
        assert relative_steps(b * 500, 500) == pytest.approx(1 + 1 / b)
        assert relative_examples(b * 500, 500) == pytest.approx(1 + b)
        product = (relative_steps(b * 500, 500) - 1) * (relative_examples(b * 500, 500) - 1)
        assert product == pytest.approx(1)  # the paper's hyperbola


TRUE = np.array([0.3, -0.2, 0.5, 0.0])
SPREAD = np.array([1.0, 2.0, 0.5, 3.0])


def pairs(rng, count, small, big):
    for _ in range(count):
        yield tuple(
            (TRUE + SPREAD * rng.standard_normal((size, 4))).mean(axis=0) for size in (small, big)
        )


def test_estimates_are_exact_in_expectation():
    # E|G_B|^2 = |G|^2 + tr(Sigma) / B: gradients of just those squared lengths give the truth back.
    square, trace, small, big = 0.38, 14.25, 8, 32
    g_small, g_big = (np.array([(square + trace / size) ** 0.5, 0.0]) for size in (small, big))
    assert gradient_and_noise(g_small, g_big, small, big) == pytest.approx((square, trace))


def test_estimates_are_unbiased_on_a_problem_whose_truth_is_known():
    rng = np.random.default_rng(3)
    estimates = [gradient_and_noise(a, b, 8, 64) for a, b in pairs(rng, 4000, 8, 64)]
    mean = np.mean(estimates, axis=0)
    error = np.std(estimates, axis=0) / len(estimates) ** 0.5
    assert (abs(mean - [np.sum(TRUE**2), np.sum(SPREAD**2)]) < 4 * error).all()
    assert (error < 0.05 * mean).all()  # so that a wrong factor would be seen


def test_noise_scale_is_a_batch_size():
    rng = np.random.default_rng(4)
    truth = np.sum(SPREAD**2) / np.sum(TRUE**2)
    assert noise_scale(pairs(rng, 8000, 8, 64), 8, 64) == pytest.approx(truth, rel=0.1)


def test_noise_scale_divides_once():
    a, b = (np.array([2.0]), np.array([1.0])), (np.array([3.0]), np.array([2.0]))
    (s1, t1), (s2, t2) = (gradient_and_noise(*pair, 4, 16) for pair in (a, b))
    assert noise_scale([a, b], 4, 16) == pytest.approx((t1 + t2) / (s1 + s2))


@pytest.mark.parametrize("small, big", [(8, 8), (8, 4), (0, 4)])
def test_two_batch_sizes_must_differ(small, big):
    with pytest.raises(ValueError, match="0 < small < big"):
        gradient_and_noise(np.ones(2), np.ones(2), small, big)
