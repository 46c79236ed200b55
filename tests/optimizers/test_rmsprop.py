"""RMSprop: its first step, and which of the many RMSprops it is."""

import numpy as np
import pytest

from optlib.optimizers.rmsprop import rmsprop


@pytest.mark.parametrize("beta, times_lr", [(0.99, 10.0), (0.9, 3.162278)])
def test_r05_the_first_step_is_lr_over_the_root_of_one_minus_beta(beta, times_lr):
    for g in (-1e3, -1e-2, 1.0, 1e4):
        w, _ = rmsprop(0.0, g, 0.0, lr=1e-3, beta=beta, eps=0.0)
        assert w == pytest.approx(-np.sign(g) * times_lr * 1e-3, rel=1e-6)


def test_eps_is_outside_the_root_and_the_mean_starts_at_zero():
    """g = 1e-4, lr .01, beta .99: -.0999 here and in torch; inside the root -.00995."""
    w, _ = rmsprop(0.0, 1e-4, 0.0, lr=0.01, beta=0.99, eps=1e-8)
    assert w == pytest.approx(-0.0999, rel=1e-4)
    w, _ = rmsprop(0.0, 1e-4, 0.0, lr=0.01, beta=0.99, eps=1e-3)
    assert w == pytest.approx(-0.01 * 1e-4 / (1e-5 + 1e-3), rel=1e-14)


def test_the_mean_square_in_closed_form():
    rng = np.random.default_rng(0)
    gradients, s, w, beta = rng.standard_normal(30), 0.0, 0.0, 0.7
    for t, g in enumerate(gradients, start=1):
        w, s = rmsprop(w, g, s, beta=beta)
        weights = (1 - beta) * beta ** np.arange(t)[::-1]
        assert s == pytest.approx(weights @ gradients[:t] ** 2, rel=1e-12)


def test_rprop_example_of_the_lecture():
    """Nine gradients of .1 and one of -.9 sum to 0, but their signs to 8: why to keep a mean."""
    gradients = np.array([0.1] * 9 + [-0.9])
    assert abs(gradients.sum()) < 1e-15 and np.sign(gradients).sum() == 8
