"""Adam and AdamW: the first step, the scale, the decay."""

import inspect

import numpy as np
import pytest
import torch

from optlib.optimizers.adam import Adam, adam, adamw


@pytest.mark.parametrize(
    "g, length",
    [(1e-6, 9.900990e-4), (1e-3, 9.999900e-4), (1.0, 1e-3), (1000.0, 1e-3)],
)
def test_r05_the_first_step(g, length):
    """R05: lr |g| / (|g| + eps), with torch's defaults."""
    for sign in (1, -1):
        w, _, _ = adam(0.0, sign * g, 0.0, 0.0, 1)
        assert w == pytest.approx(-sign * length, rel=1e-6)
        assert w == pytest.approx(-sign * 1e-3 * g / (g + 1e-8), rel=1e-12)


def test_the_first_step_without_eps_is_lr_times_the_sign():
    g = np.array([1e-30, -1e-8, 3.0, -1e9])
    w, _, _ = adam(np.zeros(4), g, np.zeros(4), np.zeros(4), 1, lr=0.3, eps=0.0)
    np.testing.assert_allclose(w, -0.3 * np.sign(g), rtol=1e-14)


@pytest.mark.parametrize("beta2, times_lr", [(0.999, 3.162278), (0.95, 0.447214)])
def test_r05_what_the_first_step_would_be_without_the_corrections(beta2, times_lr):
    _, m, v = adam(0.0, 1.0, 0.0, 0.0, 1, betas=(0.9, beta2))
    assert m / v**0.5 == pytest.approx(times_lr, rel=1e-6)


def test_without_eps_the_scale_of_the_gradients_does_not_matter():
    paths = []
    for scale in (1.0, 1e-6, 2.0**40):
        w = m = v = np.zeros(5)
        generator = np.random.default_rng(1)
        for t in range(1, 31):
            w, m, v = adam(w, scale * generator.standard_normal(5), m, v, t, eps=0.0)
        paths.append(w)
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-12)
    np.testing.assert_array_equal(paths[2], paths[0])  # a power of two changes no digit


def test_a_constant_gradient_is_corrected_exactly():
    """m_hat = g and v_hat = g^2 at every step, so every step is lr long."""
    w, m, v = 0.0, 0.0, 0.0
    for t in range(1, 101):
        w, m, v = adam(w, 0.5, m, v, t, lr=0.01, eps=0.0)
        assert w == pytest.approx(-0.01 * t, rel=1e-11)


W, G = np.array([2.0, -0.5]), np.array([0.001, 1.0])


def test_r09_decay_in_the_gradient():
    w, _, _ = adam(W, G + 0.1 * W, np.zeros(2), np.zeros(2), 1, lr=0.01)
    np.testing.assert_allclose(w, [1.9900000005, -0.5099999999], atol=5e-11, rtol=0)


def test_r09_decoupled_decay():
    w, _, _ = adamw(W, G, np.zeros(2), np.zeros(2), 1, lr=0.01, weight_decay=0.1)
    np.testing.assert_allclose(w, [1.9880001000, -0.5094999999], atol=6e-11, rtol=0)


def test_decay_alone_shrinks_by_one_minus_lr_times_decay():
    w, m, v = adamw(W, 0 * W, 0 * W, 0 * W, 1, lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(w, 0.95 * W, rtol=1e-15)


def test_without_decay_adamw_is_adam():
    state = W, G, 0.1 * W, W**2, 3
    for a, b in zip(adamw(*state, weight_decay=0.0), adam(*state)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rule, twin", [(adam, torch.optim.Adam), (adamw, torch.optim.AdamW)])
def test_the_defaults_are_torchs(rule, twin):
    theirs = inspect.signature(twin).parameters
    for name, parameter in inspect.signature(rule).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default == theirs[name].default


def test_a_zero_gradient_still_moves():
    """lr .1: 0.067 after one step with g = 1 and one with g = 0."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = Adam([w], lr=0.1)
    w.grad = torch.ones_like(w)
    optimizer.step()
    before = w.item()
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert before - w.item() == pytest.approx(0.067, abs=5e-4)


def test_betas_of_zero_make_adam_the_sign():
    w, m, v = adam(0.0, -7.0, 3.0, 9.0, 5, lr=0.2, betas=(0.0, 0.0), eps=0.0)
    assert (w, m, v) == (0.2, -7.0, 49.0)
