"""Dropout: the rule for a given mask, the chances of the masks, torch's layer."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.regularization.dropout import Dropout, drop, dropout

PS = st.floats(0, 1)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_by_hand():
    x, keep = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 0, 0, 1])
    assert drop(x, keep, 0.75).tolist() == [4.0, 0.0, 0.0, 16.0]
    assert drop(x, keep > 0, 0.75).tolist() == [4.0, 0.0, 0.0, 16.0]
    assert drop(x, keep * 0, 1.0).tolist() == [0.0] * 4
    assert drop(x, keep * 0 + 1, 0.0).tolist() == x.tolist()


@pytest.mark.parametrize("p, variance", [(0.1, 0.1111), (0.2, 0.25), (0.5, 1.0)])
def test_the_mean_stays_and_noise_is_added(p, variance):
    """R11: variance x**2 * p / (1 - p), here for x = 1, exactly over both masks."""
    values = np.array([drop(1.0, 0, p), drop(1.0, 1, p)])
    mean = np.dot([p, 1 - p], values)
    assert mean == pytest.approx(1.0, rel=1e-15)
    assert np.dot([p, 1 - p], (values - mean) ** 2) == pytest.approx(variance, abs=5e-5)
    y = dropout(np.ones(10**6), p, rng())
    assert y.mean() == pytest.approx(1, abs=6 * variance**0.5 * 1e-3)
    assert y.var() == pytest.approx(variance, rel=0.02)


@given(PS, st.integers(0, 2**32), st.sampled_from([(), (7,), (3, 4)]))
def test_a_dropout_is_zeros_and_scaled_values(p, seed, shape):
    x = rng(seed).normal(size=shape)
    before = x.copy()
    y = dropout(x, p, rng(seed))
    assert np.shape(y) == shape
    assert np.array_equal(x, before)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - p if p < 1 else 1), rtol=1e-15)
    assert np.array_equal(y, dropout(x, p, rng(seed)))


def test_the_ends():
    x = rng().normal(size=1000)
    assert np.array_equal(dropout(x, 0, rng()), x)
    assert np.array_equal(dropout(x, 1, rng()), 0 * x)


def test_p_is_the_chance_to_drop():
    assert np.mean(dropout(np.ones(10**5), 0.2, rng()) == 0) == pytest.approx(0.2, abs=0.006)


def test_units_are_dropped_independently():
    kept = dropout(np.ones((5000, 4)), 0.5, rng()) > 0
    assert np.abs(np.corrcoef(kept.T) - np.eye(4)).max() < 0.08
    assert len({tuple(row) for row in kept.tolist()}) == 16  # rows differ too


def test_evaluation_is_the_identity_and_draws_nothing():
    generator, x = rng(), np.ones(3)
    state = generator.bit_generator.state
    assert dropout(x, 0.5, generator, training=False) is x
    assert generator.bit_generator.state == state


def test_numpys_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()
    dropout(np.ones(100), 0.5, rng())
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rule_is_torchs_for_its_mask(p, dtype):
    x = torch.rand(200, dtype=dtype, generator=torch.Generator().manual_seed(1)) + 1
    theirs = torch.nn.functional.dropout(x, p)
    ours = drop(x, theirs != 0, p)
    torch.testing.assert_close(ours, theirs, rtol=3 * torch.finfo(dtype).eps, atol=0)


def test_the_layer_is_the_rule():
    x = torch.randn(50, 20, dtype=torch.float64, requires_grad=True)
    layer = Dropout(0.3, torch.Generator().manual_seed(5))
    y = layer(x)
    keep = torch.rand(50, 20, generator=torch.Generator().manual_seed(5)) >= 0.3
    torch.testing.assert_close(y, x * keep / 0.7, rtol=1e-15, atol=0)
    y.sum().backward()
    torch.testing.assert_close(x.grad, keep / torch.tensor(0.7, dtype=torch.float64))
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x).equal(x) and Dropout(1.0)(x).equal(0 * x)
    assert repr(layer) == "Dropout(p=0.3)"


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_illegal_p_is_named(p):
    for call in (
        lambda: dropout(np.ones(2), p, rng()),
        lambda: dropout(np.ones(2), p, rng(), training=False),
        lambda: drop(1.0, 1, p),
        lambda: Dropout(p),
    ):
        with pytest.raises(ValueError, match=r"^[dD]rop(out)?: p is .*; legal: .* in \[0, 1\]"):
            call()
