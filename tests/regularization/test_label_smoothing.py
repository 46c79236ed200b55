"""Label smoothing: the distribution, and torch's cross-entropy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.regularization.label_smoothing import smooth_labels, smoothed_cross_entropy


def test_by_hand():
    q = smooth_labels(np.array([0.0, 1.0, 0.0, 0.0]), 0.2)
    assert q == pytest.approx([0.05, 0.85, 0.05, 0.05], rel=1e-15)
    flat = smoothed_cross_entropy(np.zeros((2, 4)), np.array([0, 3]), 0.3)
    assert flat == pytest.approx(np.log(4), rel=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_is_torchs(smoothing, classes):
    rng = np.random.default_rng(classes)
    logits, labels = rng.normal(size=(9, classes)) * 5, rng.integers(0, classes, 9)
    z, k = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels)
    theirs = torch.nn.functional.cross_entropy(z, k, label_smoothing=smoothing)
    ours = smoothed_cross_entropy(z, k, smoothing)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-13)
    assert smoothed_cross_entropy(logits, labels, smoothing) == pytest.approx(
        ours.item(), rel=1e-13
    )
    gradients = [torch.autograd.grad(loss, z)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


@given(st.integers(2, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_a_distribution_stays_one_and_loses_no_order(classes, smoothing, seed):
    q = np.random.default_rng(seed).dirichlet(np.ones(classes), 3)
    smooth = smooth_labels(q, smoothing)
    assert smooth.sum(-1) == pytest.approx(np.ones(3), rel=1e-14)
    assert (smooth >= smoothing / classes).all()
    assert smooth - 1 / classes == pytest.approx((1 - smoothing) * (q - 1 / classes), abs=1e-15)


def test_huge_logits_and_float32():
    logits = np.array([[1e4, -1e4]], dtype=np.float32)
    loss = smoothed_cross_entropy(logits, np.array([1]), 0.0)
    assert loss == 2e4 and loss.dtype == np.float32


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_illegal_smoothing_is_named(smoothing):
    with pytest.raises(ValueError, match=r"smoothing is .*; legal: a number in \[0, 1\]"):
        smoothed_cross_entropy(np.zeros((1, 2)), np.array([0]), smoothing)
