"""Adagrad: torch's, step by step, and its two closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.beyond.adagrad import Adagrad, adagrad

numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
vectors = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6).map(
    lambda rows: np.array(rows).T
)


@pytest.mark.parametrize("eps", [1e-10, 0.03])
def test_equals_torch_at_every_step_under_a_changing_lr(eps):
    rng = np.random.default_rng(0)
    starts = [torch.ones(shape, dtype=torch.float64) for shape in ((3, 2), (4,), ())]
    ours, theirs = ([w.clone().requires_grad_() for w in starts] for _ in "ab")
    mine = Adagrad(ours, lr=0.3, eps=eps)
    twin = torch.optim.Adagrad(theirs, lr=0.3, eps=eps)
    for k in range(60):
        mine.param_groups[0]["lr"] = twin.param_groups[0]["lr"] = 0.3 if k < 20 else 0.01 * k
        for n, (a, b) in enumerate(zip(ours, theirs)):
            g = rng.standard_normal(a.shape) * 10.0 ** rng.integers(-4, 4, a.shape)
            g = torch.tensor(np.where(rng.random(a.shape) < 0.2, 0.0, g))
            a.grad, b.grad = (None, None) if (n, k % 3) == (1, 0) else (g, g.clone())
        mine.step()
        twin.step()
        for a, b in zip(ours, theirs):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_under_a_constant_gradient_the_steps_shrink_as_one_over_the_root_of_t():
    w, s = np.zeros(2), np.zeros(2)
    g = np.array([5.0, -0.01])
    for t in range(1, 30):
        old = w
        w, s = adagrad(w, g, s, lr=0.1, eps=0.0)
        np.testing.assert_allclose(w - old, [-0.1 / t**0.5, 0.1 / t**0.5], rtol=1e-12)


def test_eps_is_outside_the_root_and_s_starts_at_zero():
    w, s = adagrad(1.0, 0.5, 0.0, lr=0.1, eps=0.5)
    assert (w, s) == pytest.approx((1 - 0.1 * 0.5 / (0.5 + 0.5), 0.25), rel=1e-15)


@given(vectors, st.integers(-20, 20), st.randoms(use_true_random=False))
def test_scale_free_without_eps_and_the_same_in_any_order(wgs, power, random):
    w, g, s = wgs
    g, s = np.where(g == 0, 1.0, g), np.abs(s)
    new, _ = adagrad(w, g, s, lr=0.2, eps=0.0)
    k = 2.0**power
    np.testing.assert_array_equal(adagrad(w, k * g, k * k * s, lr=0.2, eps=0.0)[0], new)
    order = list(range(len(w)))
    random.shuffle(order)
    permuted, _ = adagrad(w[order], g[order], s[order], lr=0.2, eps=0.0)
    np.testing.assert_array_equal(permuted, new[order])
