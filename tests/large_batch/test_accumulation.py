"""Accumulation: one big batch whatever the sizes, clipped once, and where it is not equal."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.large_batch.accumulation import (
    accumulate_and_step,
    accumulated_gradient,
    token_weighted_gradient,
    weighted_mean,
)

SIZES = [4, 4, 2, 1, 7]


def least_squares(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((sum(SIZES), 3)), rng.standard_normal(sum(SIZES))


def gradient_of(X, y):
    """Return the gradient of the mean squared error over the rows that a batch names."""

    def grad_fn(w, rows):
        return X[rows].T @ (X[rows] @ w - y[rows]) / len(rows)

    return grad_fn


def cut(rows, sizes=SIZES):
    return np.split(rows, np.cumsum(sizes)[:-1])


def test_mean_of_means_is_not_the_mean_over_tokens():
    assert np.mean([4.0, 2.0]) == 3.0
    assert weighted_mean([4.0, 2.0], [10, 1000]) == pytest.approx(2.0198020, abs=5e-8)


def test_unequal_microbatches_equal_one_big_batch():
    X, y = least_squares()
    w, rows = np.array([0.3, -1.0, 2.0]), np.arange(len(y))
    grad_fn = gradient_of(X, y)
    big = grad_fn(w, rows)
    np.testing.assert_allclose(accumulated_gradient(grad_fn, w, cut(rows)), big, rtol=1e-12)
    mean_of_means = np.mean([grad_fn(w, part) for part in cut(rows)], axis=0)
    assert not np.allclose(mean_of_means, big, rtol=1e-2)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_neither_the_cuts_nor_the_order_matter(sizes, random):
    X, y = least_squares()
    rows = [k % len(y) for k in range(sum(sizes))]
    w, grad_fn = np.array([0.3, -1.0, 2.0]), gradient_of(X, y)
    big = grad_fn(w, np.array(rows))
    random.shuffle(rows)
    parts = cut(np.array(rows), sizes)
    np.testing.assert_allclose(accumulated_gradient(grad_fn, w, parts), big, rtol=1e-11, atol=1e-13)


def test_a_gradient_function_may_use_one_buffer_and_a_generator_will_do():
    X, y = least_squares()
    w, rows = np.array([0.3, -1.0, 2.0]), np.arange(len(y))
    grad_fn, buffer, seen = gradient_of(X, y), np.zeros(3), []

    def buffered(w, part):
        seen.append(len(part))
        buffer[:] = grad_fn(w, part)
        return buffer

    ours = accumulated_gradient(buffered, w, (part for part in cut(rows)))
    np.testing.assert_allclose(ours, grad_fn(w, rows), rtol=1e-12)
    assert seen == SIZES  # once each
    np.testing.assert_array_equal(buffer, grad_fn(w, cut(rows)[-1]))  # and never written into


def test_tokens_that_do_not_count_do_not_weigh():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((6, 5, 3)), rng.standard_normal((6, 5))
    counts = rng.random((6, 5)) < 0.4
    counts[2] = False  # a text without a single label: its mean is 0 / 0
    w = np.array([0.3, -1.0, 2.0])

    def grad_fn(w, text):
        mask = counts[text]
        with np.errstate(invalid="ignore"):
            return X[text][mask].T @ (X[text][mask] @ w - y[text][mask]) / mask.sum()

    big = X[counts].T @ (X[counts] @ w - y[counts]) / counts.sum()
    ours = token_weighted_gradient(grad_fn, w, range(6), tokens=lambda text: counts[text].sum())
    np.testing.assert_allclose(ours, big, rtol=1e-12)


def test_nothing_to_average_is_refused():
    with pytest.raises(ValueError, match="no example"):
        accumulated_gradient(lambda w, b: w, np.ones(2), [])
    model = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="no example"):
        accumulate_and_step(model, torch.optim.SGD(model.parameters()), None, [])


def setup(*layers, seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), *layers, torch.nn.Linear(4, 1)).double()
    data = torch.randn(sum(SIZES), 3).double(), torch.randn(sum(SIZES), 1).double()
    return model, data


def microbatches(data):
    return zip(*(x.split(SIZES) for x in data))


def one_big_step(model, optimizer, data, max_norm=None):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(data[0]), data[1])
    loss.backward()
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def both(model, data, max_norm=None, steps=3):
    """Return the largest difference of weights, and both losses, small steps beside big ones."""
    other = copy.deepcopy(model)
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.05) for m in (model, other)]
    model(data[0]).sum().backward()  # leaves gradients behind, to be cleared
    for _ in range(steps):
        loss = accumulate_and_step(
            model, optimizers[0], torch.nn.functional.mse_loss, microbatches(data), max_norm
        )
        expected = one_big_step(other, optimizers[1], data, max_norm)
    pairs = zip(model.parameters(), other.parameters())
    return max((a - b).abs().max().item() for a, b in pairs), loss, expected


@pytest.mark.parametrize("max_norm", [None, 0.05, 1e3])
def test_step_equals_one_big_batch(max_norm):
    difference, loss, expected = both(*setup(torch.nn.Tanh()), max_norm)
    assert difference < 1e-12
    assert isinstance(loss, float) and loss == pytest.approx(expected, rel=1e-12)


def test_batch_norm_breaks_it_and_layer_norm_does_not():
    assert both(*setup(torch.nn.LayerNorm(4)))[0] < 1e-12
    norm = torch.nn.BatchNorm1d(4)
    model, data = setup(norm)
    data = data[0][:-8], data[1][:-8]  # no microbatch of one row, which batch norm refuses
    other = copy.deepcopy(model)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, other)]
    parts = list(zip(*(x.split([4, 4, 2]) for x in data)))
    accumulate_and_step(model, optimizers[0], torch.nn.functional.mse_loss, parts)
    one_big_step(other, optimizers[1], data)
    moved = max((a - b).abs().max() for a, b in zip(model.parameters(), other.parameters()))
    assert moved > 1e-3
    assert (norm.num_batches_tracked, other[1].num_batches_tracked) == (3, 1)
    assert not torch.allclose(norm.running_mean, other[1].running_mean, rtol=1e-2)


def test_clips_once_after_accumulating():
    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = w

        def forward(self, x):
            return x @ self.w

    parts = [(torch.tensor([row], dtype=torch.float64), [0]) for row in ([10.0, 0.0], [0.0, 0.1])]
    optimizer = torch.optim.SGD([w], lr=1.0)
    accumulate_and_step(Linear(), optimizer, lambda out, _: out.mean(), parts, max_norm=1.0)
    # the mean (5, 0.05) shortened to 1; the mean of two clipped gradients would be (0.5, 0.05)
    expected = np.array([-5, -0.05]) / np.hypot(5, 0.05)
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-6)


def test_tokens_weigh_the_microbatches_of_a_language_model():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 7)).double()
    inputs, targets = torch.randint(7, (2, 6, 5))
    targets[torch.rand(6, 5) < 0.5] = -100
    targets[0, 0], targets[4:] = 1, -100  # the last microbatch has no label: its mean is NaN

    def loss_fn(logits, targets):
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def labels(targets):
        return (targets != -100).sum()

    other = copy.deepcopy(model)
    a, b = (torch.optim.SGD(m.parameters(), lr=0.5) for m in (model, other))
    parts = zip(inputs.split([1, 3, 2]), targets.split([1, 3, 2]))
    loss = accumulate_and_step(model, a, loss_fn, parts, tokens=labels)
    expected = loss_fn(other(inputs), targets)
    expected.backward()
    b.step()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for x, y in zip(model.parameters(), other.parameters()):
        assert (x - y).abs().max() < 1e-12
