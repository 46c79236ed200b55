"""SGD: one line, and one closed form."""

import numpy as np

from optlib.optimizers.sgd import sgd


def test_one_step():
    (w,) = sgd(1.0, 0.5, lr=0.1)
    assert w == 0.95


def test_r09_first_step_with_l2_in_the_gradient():
    """R09: w = (2, -.5), g = (.001, 1), lr .01, L2 of torch's weight_decay .1."""
    w, g = np.array([2.0, -0.5]), np.array([0.001, 1.0])
    (new,) = sgd(w, g + 0.1 * w, lr=0.01)
    np.testing.assert_allclose(new, [1.99799, -0.5095], rtol=1e-12)


def test_on_a_quadratic_every_step_multiplies_the_error():
    """f = h w^2 / 2: w_t = (1 - lr h)^t w_0, for h from flat to just stable."""
    h = np.array([0.01, 0.5, 1.0, 1.9])
    w = start = np.array([3.0, -2.0, 1.0, 0.7])
    for t in range(1, 51):
        (w,) = sgd(w, h * w, lr=1.0)
        np.testing.assert_allclose(w, (1 - h) ** t * start, rtol=1e-12)
