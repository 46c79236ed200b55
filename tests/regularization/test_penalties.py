"""Penalties: values and gradients, exact zeros, the lasso that scikit-learn finds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

from optlib.regularization.penalties import (
    decoupled_decay,
    l1_penalty,
    l2_penalty,
    proximal_step,
    soft_threshold,
)

SHAPES = [(), (5,), (3, 4)]
PENALTIES = [l1_penalty, l2_penalty]
NUMBERS = st.floats(-1e6, 1e6)


def test_by_hand():
    w = np.array([[3.0, -4.0], [0.0, 0.5]])
    value, gradient = l2_penalty(w, 0.1)
    assert value == pytest.approx(2.525)
    assert gradient == pytest.approx(np.array([[0.6, -0.8], [0.0, 0.1]]))
    value, gradient = l1_penalty(w, 0.1)
    assert value == pytest.approx(0.75)
    assert gradient.tolist() == [[0.1, -0.1], [0.0, 0.1]]  # sign(0) = 0
    assert soft_threshold(w, 0.5).tolist() == [[2.5, -3.5], [0.0, 0.0]]
    assert soft_threshold(w, 0).tolist() == w.tolist()


def test_plain_numbers():
    assert l2_penalty(-3.0, 2.0) == (18.0, -12.0)
    assert l1_penalty(-3.0, 2.0) == (6.0, -2.0)
    assert [soft_threshold(w, 1.0) for w in (-3.0, 1.0, 1.5)] == [-2.0, 0.0, 0.5]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_gradient_is_autograds(penalty, shape):
    w = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = (w * (w.abs() > 0.2)).requires_grad_()  # some exact zeros
    value, gradient = penalty(w, 0.3)
    (expected,) = torch.autograd.grad(value, w)
    torch.testing.assert_close(gradient.detach(), expected, rtol=1e-15, atol=0)
    ours = penalty(w.detach().numpy(), 0.3)
    assert ours[0] == pytest.approx(value.item(), rel=1e-14)
    np.testing.assert_allclose(ours[1], expected.numpy(), rtol=1e-15)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_gradient_is_the_slope(penalty):
    w, h = np.array([0.7, -1.3, 2.0]), 1e-6
    for k, e in enumerate(np.eye(3)):
        slope = (penalty(w + h * e, 0.4)[0] - penalty(w - h * e, 0.4)[0]) / (2 * h)
        assert penalty(w, 0.4)[1][k] == pytest.approx(slope, rel=1e-8)


def test_l2_is_half_of_torchs_weight_decay():
    w = torch.tensor([2.0, -0.5], dtype=torch.float64, requires_grad=True)
    start = w.detach().clone()
    optimizer = torch.optim.SGD([w], lr=0.01, weight_decay=0.1)
    w.grad = torch.tensor([0.001, 1.0], dtype=torch.float64)
    g = w.grad.clone()
    optimizer.step()
    ours = start - 0.01 * (g + l2_penalty(start, 0.05)[1])
    torch.testing.assert_close(ours, w.detach(), rtol=1e-15, atol=0)
    np.testing.assert_allclose(ours, [1.99799, -0.5095], rtol=1e-14)  # R09
    decayed = decoupled_decay(start, lr=0.01, weight_decay=0.1) - 0.01 * g
    torch.testing.assert_close(decayed, ours, rtol=1e-15, atol=0)  # the same under plain SGD


def test_decoupled_decay_is_adamws():
    w = torch.tensor([2.0, -0.5], dtype=torch.float64, requires_grad=True)
    ours = decoupled_decay(w.detach().clone(), lr=0.3, weight_decay=0.1)
    w.grad = torch.zeros_like(w)
    torch.optim.AdamW([w], lr=0.3, weight_decay=0.1).step()
    torch.testing.assert_close(ours, w.detach(), rtol=1e-15, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_soft_threshold_is_torchs_softshrink(dtype):
    w = torch.linspace(-2, 2, 81, dtype=dtype)
    torch.testing.assert_close(
        soft_threshold(w, 0.5), torch.nn.functional.softshrink(w, 0.5), rtol=0, atol=0
    )


@given(NUMBERS, st.floats(0, 1e6))
def test_soft_threshold_is_the_proximal_minimum(w, threshold):
    z = soft_threshold(w, threshold)
    assert abs(z) == max(abs(w) - threshold, 0)
    assert z * w >= 0

    def objective(z):
        return threshold * abs(z) + (z - w) ** 2 / 2

    slack = 1e-9 * (1 + objective(0))
    assert all(objective(z) <= objective(z + d) + slack for d in (-1, -1e-3, 1e-3, 1, -z))
    assert soft_threshold(-w, threshold) == -z


def test_nan_stays_and_float32_stays_float32():
    w = np.array([np.nan, 1.0, -0.2], dtype=np.float32)
    z = soft_threshold(w, 0.5)
    assert np.isnan(z[0]) and z[1:].tolist() == [0.5, 0.0]
    for out in (z, l2_penalty(w, 0.1)[1], l1_penalty(w, 0.1)[1], proximal_step(w, w, lr=1, l1=1)):
        assert out.dtype == np.float32


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X - X.mean(0), y - y.mean()


def ista(X, y, l1, steps):
    """scikit-learn's lasso, |y - Xw|^2 / (2 n) + l1 |w|_1, by proximal steps."""
    n, w = len(y), np.zeros(X.shape[1])
    lr = n / np.linalg.norm(X, 2) ** 2
    for _ in range(steps):
        w = proximal_step(w, X.T @ (X @ w - y) / n, lr=lr, l1=l1)
    return w


@pytest.mark.parametrize(
    "l1, nonzero, steps",
    [(0.01, 10, 30_000), (0.1, 7, 6000), (0.5, 4, 3000), (1, 3, 3000), (2, 2, 3000)],
)
def test_ista_is_sklearns_lasso(l1, nonzero, steps):
    X, y = diabetes()
    ours = ista(X, y, l1, steps)
    theirs = Lasso(alpha=l1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, y).coef_
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert np.count_nonzero(ours) == np.count_nonzero(theirs) == nonzero  # R10
    if l1 == 1:
        assert ours[[2, 3, 8]] == pytest.approx([367.702, 6.310, 307.602], abs=5e-4)


def test_the_subgradient_makes_no_zeros():
    X, y = diabetes()
    n, w = len(y), np.zeros(10)
    lr = n / np.linalg.norm(X, 2) ** 2
    for _ in range(3000):
        w = w - lr * (X.T @ (X @ w - y) / n + l1_penalty(w, 1.0)[1])
    assert np.count_nonzero(w) == 10


@pytest.mark.parametrize("call", [l1_penalty, l2_penalty, soft_threshold])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "a"])
def test_illegal_arguments_are_named(call, value):
    with pytest.raises(ValueError, match=rf"{call.__name__}: (lam|threshold) is .*; legal: "):
        call(np.ones(2), value)
