"""Batch and layer normalization: R08, torch's layers, gradients, invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.regularization.batchnorm import (
    BatchNorm,
    LayerNorm,
    batch_norm,
    batch_norm_backward,
    layer_norm,
    normalize,
)

TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def sample(seed, n=6, d=3, scale=1.0):
    """x, dy, gamma, beta, running_mean, running_var: loud values."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(2, 3, (n, d)) * scale, rng.normal(size=(n, d))
    return x, dy, rng.normal(size=d), rng.normal(size=d), rng.normal(size=d), rng.uniform(1, 2, d)


def test_r08():
    x = np.array([[1.0], [2.0], [3.0], [4.0]])
    one, zero = np.ones(1), np.zeros(1)
    y, mean, var = batch_norm(x, one, zero, zero, one)
    assert y.ravel() == pytest.approx([-1.3416354, -0.4472118, 0.4472118, 1.3416354], abs=5e-8)
    assert (mean[0], var[0]) == pytest.approx((0.25, 1.0666667), abs=5e-8)
    y, *same = batch_norm(x, one, zero, mean, var, training=False)
    assert y.ravel() == pytest.approx([0.7261810, 1.6944223, 2.6626636, 3.6309049], abs=5e-8)
    assert same[0] is mean and same[1] is var


def test_leaves_its_arguments_alone():
    arguments = sample(0)
    before = [a.copy() for a in arguments]
    x, dy, *rest = arguments
    batch_norm(x, *rest)
    batch_norm_backward(dy, x, rest[0])
    assert all(np.array_equal(a, b) for a, b in zip(arguments, before))


@pytest.mark.parametrize(
    "n, momentum, eps", [(2, 0.1, 1e-5), (7, 0.3, 1e-2), (32, 1.0, 0.5), (5, 0, 1e-12)]
)
def test_batch_norm_is_torchs(n, momentum, eps):
    x, dy, gamma, beta, mean, var = sample(n, n)
    theirs = torch.nn.BatchNorm1d(3, momentum=momentum, eps=eps, dtype=torch.float64)
    layer = BatchNorm(3, momentum=momentum, eps=eps).double()
    with torch.no_grad():
        for a, values in ((theirs.weight, gamma), (theirs.bias, beta)):
            a.copy_(torch.from_numpy(values))
        for a, values in ((layer.gamma, gamma), (layer.beta, beta)):
            a.copy_(torch.from_numpy(values))
        for module in (theirs, layer):
            module.running_mean.copy_(torch.from_numpy(mean))
            module.running_var.copy_(torch.from_numpy(var))
    for step in range(4):
        batch = x * (step + 1) - step
        y, mean, var = batch_norm(batch, gamma, beta, mean, var, momentum=momentum, eps=eps)
        for module in (theirs, layer):
            np.testing.assert_allclose(y, module(torch.from_numpy(batch)).detach(), **TIGHT)
            np.testing.assert_allclose(mean, module.running_mean, **TIGHT)
            np.testing.assert_allclose(var, module.running_var, **TIGHT)
    for rows in (1, n):
        batch = torch.from_numpy(x[:rows])
        y, *_ = batch_norm(x[:rows], gamma, beta, mean, var, training=False, eps=eps)
        for module in (theirs.eval(), layer.eval()):
            np.testing.assert_allclose(y, module(batch).detach(), **TIGHT)
    assert not layer.running_mean.requires_grad


@pytest.mark.parametrize("n, eps", [(2, 1e-5), (5, 0.1), (40, 1e-12)])
def test_backward_is_autograds(n, eps):
    x, dy, gamma, beta, mean, var = sample(n, n)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, gamma, beta)]
    ours = batch_norm_backward(dy, x, gamma, eps)
    for y in (
        torch.nn.functional.batch_norm(
            tensors[0], None, None, *tensors[1:], training=True, eps=eps
        ),
        batch_norm(*tensors, torch.from_numpy(mean), torch.from_numpy(var), eps=eps)[0],
    ):
        for a, b in zip(ours, torch.autograd.grad(y, tensors, torch.from_numpy(dy))):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_backward_is_the_slope():
    x, dy, gamma, beta, mean, var = sample(3)

    def loss(x, gamma, beta):
        return (dy * batch_norm(x, gamma, beta, mean, var)[0]).sum()

    arguments, h = [x, gamma, beta], 1e-5
    for k, gradient in enumerate(batch_norm_backward(dy, x, gamma)):
        for index in np.ndindex(gradient.shape):
            up, down = ([a.copy() for a in arguments] for _ in range(2))
            up[k][index] += h
            down[k][index] -= h
            slope = (loss(*up) - loss(*down)) / (2 * h)
            assert gradient[index] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@given(st.integers(0, 10**6), st.integers(2, 20), st.floats(0.1, 100), st.floats(-100, 100))
def test_normal_whatever_the_scale_and_shift(seed, n, scale, shift):
    x, dy, gamma, beta, mean, var = sample(seed, n)
    one, zero = np.ones(3), np.zeros(3)
    y, *_ = batch_norm(x, one, zero, mean, var, eps=0)
    assert np.abs(y.mean(0)).max() < 1e-10 and np.abs((y**2).mean(0) - 1).max() < 1e-10
    moved, *_ = batch_norm(scale * x + shift, one, zero, mean, var, eps=0)
    np.testing.assert_allclose(moved, y, rtol=1e-7, atol=1e-7)
    dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma, eps=0)
    assert np.abs(dx.sum(0)).max() < 1e-8 * (1 + np.abs(dx).max())
    assert np.abs((dx * x).sum(0)).max() < 1e-8 * (1 + np.abs(dx).max() * np.abs(x).max())
    np.testing.assert_allclose(dbeta, dy.sum(0), rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 5), (1, 5), (2, 3, 5), (5,)])
def test_layer_norm_is_torchs(shape):
    rng = np.random.default_rng(0)
    x, gamma, beta = rng.normal(2, 3, shape), rng.normal(size=5), rng.normal(size=5)
    tensors = [torch.from_numpy(a) for a in (x, gamma, beta)]
    theirs = torch.nn.functional.layer_norm(tensors[0], (5,), *tensors[1:], eps=0.01)
    np.testing.assert_allclose(layer_norm(x, gamma, beta, eps=0.01), theirs, **TIGHT)
    layer, twin = LayerNorm(5).double(), torch.nn.LayerNorm(5, dtype=torch.float64)
    np.testing.assert_allclose(layer(tensors[0]).detach(), twin(tensors[0]).detach(), **TIGHT)


def test_normalize_is_the_lessons_formula():
    assert normalize(5.0, 1.0, 3.75, 1.0, 0.0, eps=0.25) == 2.0
    assert normalize(5.0, 1.0, 3.75, 3.0, -1.0, eps=0.25) == 5.0


def test_float32_stays_float32():
    arguments = [a.astype(np.float32) for a in sample(1)]
    x, dy, *rest = arguments
    results = [*batch_norm(x, *rest), *batch_norm_backward(dy, x, rest[0])]
    results.append(layer_norm(x, *rest[:2]))
    assert {a.dtype for a in results} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "message, call",
    [
        ("x has 1 row", lambda a: batch_norm(a[0][:1], *a[2:])),
        (r"x has shape \(6,\)", lambda a: batch_norm(a[0][:, 0], *a[2:])),
        ("batch_norm: momentum is 1.1", lambda a: batch_norm(a[0], *a[2:], momentum=1.1)),
        ("batch_norm: eps is -1", lambda a: batch_norm(a[0], *a[2:], eps=-1)),
        ("BatchNorm: features is 0; legal: an integer", lambda a: BatchNorm(0)),
        ("BatchNorm: momentum is -1", lambda a: BatchNorm(3, momentum=-1)),
        ("LayerNorm: eps is nan", lambda a: LayerNorm(3, eps=float("nan"))),
    ],
)
def test_illegal_arguments_are_named(message, call):
    with pytest.raises(ValueError, match=message):
        call(sample(0))
