"""Momentum: lr inside the velocity, and a quadratic's closed form."""

import numpy as np
import pytest
import torch

from optlib.optimizers.momentum import Momentum, momentum, nesterov


def test_first_steps_by_hand():
    w, v = momentum(1.0, 2.0, 0.0, lr=0.1, beta=0.9)
    assert (w, v) == (0.8, 0.2)
    w, v = momentum(w, 2.0, v, lr=0.1, beta=0.9)
    assert (w, v) == pytest.approx((0.42, 0.38), rel=1e-15)


def test_first_steps_of_nesterov():
    """lr 1, g 1: torch moves by 1.9, 2.71, 3.439."""
    w, v = 0.0, 0.0
    for expected in (1.9, 2.71, 3.439):
        old = w
        w, v = nesterov(w, 1.0, v, lr=1.0, beta=0.9)
        assert old - w == pytest.approx(expected, rel=1e-14)


def steady_velocity(lr, steps=2000):
    w, v = 0.0, 0.0
    for _ in range(steps):
        w, v = momentum(w, 1.0, v, lr=lr, beta=0.9)
    return v


def test_r13_a_tenfold_drop_of_the_lr():
    """R13: at steady state, g = 1, lr .1 -> .01: the next step is .91 here, .10 in torch."""
    _, v = momentum(0.0, 1.0, steady_velocity(0.1), lr=0.01, beta=0.9)
    assert v == pytest.approx(0.91, rel=1e-12)

    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.SGD([w], lr=0.1, momentum=0.9)
    w.grad = torch.ones_like(w)
    for _ in range(2000):
        theirs.step()
    before = w.item()
    theirs.param_groups[0]["lr"] = 0.01
    theirs.step()
    assert before - w.item() == pytest.approx(0.10, rel=1e-10)


@pytest.mark.parametrize("rule", [momentum, nesterov])
def test_on_a_quadratic_a_step_is_a_two_by_two_matrix(rule):
    """f = h w^2 / 2: (w, v)_t = M^t (w, v)_0."""
    lr, beta = 0.1, 0.8
    for h in (0.01, 1.0, 7.0):
        into_v = np.array([lr * h, beta])  # v = lr h w + beta v
        look = beta if rule is nesterov else 1.0
        into_w = np.array([1.0, 0.0]) - look * into_v
        if rule is nesterov:
            into_w[0] -= lr * h
        step = np.array([into_w, into_v])
        point = start = np.array([2.0, 0.3])
        for t in range(1, 51):
            w, v = point
            point = np.array(rule(w, h * w, v, lr=lr, beta=beta))
            exact = np.linalg.matrix_power(step, t) @ start
            np.testing.assert_allclose(point, exact, atol=1e-14)


def test_a_zero_gradient_still_moves_and_none_does_not():
    """After one step of .1, beta .9 coasts by .09."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = Momentum([w], lr=0.1, beta=0.9)
    w.grad = torch.ones_like(w)
    optimizer.step()
    w.grad = None
    optimizer.step()
    assert w.item() == -0.1
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert w.item() == pytest.approx(-0.19, rel=1e-15)
