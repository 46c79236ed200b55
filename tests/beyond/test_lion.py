"""Lion: the authors' program restated in exact fractions, and what a sign implies."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.beyond.lion import Lion, lion

LOUD = {"betas": (0.78, 0.953), "weight_decay": 0.17}
LRS = [0.1, 0.1, 0.07, 0.07, 0.0013, 0.0013, 0.0013, 0.2, 0.2, 0.2]


def problem(shape=(2, 3), seed=7):
    """Weights, and gradients over seven decades; the third is zero."""
    rng = np.random.default_rng(seed)
    size = (len(LRS), *shape)
    gs = rng.standard_normal(size) * 10.0 ** rng.uniform(-5, 2, size)
    gs[2] = 0.0
    return rng.standard_normal(shape), gs


def in_fractions(w, gs, lrs, betas, weight_decay):
    """Lion needs no root, so its trajectory is a rational number: no rounding at all."""
    b1, b2, wd = Fraction(betas[0]), Fraction(betas[1]), Fraction(weight_decay)
    ws = [Fraction(x) for x in np.ravel(w).tolist()]
    ms = [Fraction(0)] * len(ws)
    path = []
    for row, lr in zip(gs, lrs):
        for k, d in enumerate(map(Fraction, np.ravel(row).tolist())):
            mix = b1 * ms[k] + (1 - b1) * d
            up = (mix > 0) - (mix < 0)
            ws[k] -= Fraction(lr) * (up + wd * ws[k])
            ms[k] = b2 * ms[k] + (1 - b2) * d
        path.append([float(x) for x in ws])
    return np.reshape(path, np.shape(gs))


def run(w, gs, lrs, **hyper):
    m, path = np.zeros_like(w), []
    for g, lr in zip(gs, lrs):
        w, m = lion(w, g, m, lr=lr, **hyper)
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize("seed", range(5))
def test_trajectory_equals_exact_fractions(seed):
    w, gs = problem(seed=seed)
    expected = in_fractions(w, gs, LRS, **LOUD)
    np.testing.assert_allclose(run(w, gs, LRS, **LOUD), expected, rtol=1e-12, atol=1e-14)


def test_class_runs_the_rule():
    w, gs = problem()
    p = torch.tensor(w, requires_grad=True)
    optimizer = Lion([p], **LOUD)
    for lr, g, expected in zip(LRS, gs, in_fractions(w, gs, LRS, **LOUD)):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_the_step_mixes_by_beta1_and_the_memory_by_beta2():
    # m = 1, g = -5: beta1 = 0.9 still goes down (0.4 > 0), and 0.99 remembers 0.94.
    w, m = lion(0.0, -5.0, 1.0, lr=0.1, betas=(0.9, 0.99))
    assert (w, m) == pytest.approx((-0.1, 0.94), rel=1e-12)
    w, m = lion(0.0, -5.0, 1.0, lr=0.1, betas=(0.8, 0.99))
    assert (w, m) == pytest.approx((0.1, 0.94), rel=1e-12)


def test_no_gradient_and_no_memory_mean_no_step_but_the_decay():
    w, m = lion(np.array([2.0, 0.0]), np.zeros(2), np.zeros(2), lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(w, [1.9, 0.0], rtol=1e-15)
    np.testing.assert_array_equal(m, 0.0)


numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
vectors = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6).map(
    lambda rows: np.array(rows).T
)


@given(vectors, st.integers(-20, 20), st.randoms(use_true_random=False))
def test_scale_free_and_the_same_in_any_order(wgm, power, random):
    w, g, m = wgm
    new, memory = lion(w, g, m, lr=0.2, weight_decay=0.3)
    k = 2.0**power
    scaled, scaled_memory = lion(w, k * g, k * m, lr=0.2, weight_decay=0.3)
    np.testing.assert_array_equal(scaled, new)
    np.testing.assert_array_equal(scaled_memory, k * memory)
    order = list(range(len(w)))
    random.shuffle(order)
    permuted, _ = lion(*wgm[:, order], lr=0.2, weight_decay=0.3)
    np.testing.assert_array_equal(permuted, new[order])


@given(vectors)
def test_no_coordinate_moves_further_than_lr(wgm):
    new, _ = lion(*wgm, lr=0.25)
    assert (abs(new - wgm[0]) <= 0.25 * (1 + 1e-9)).all()
