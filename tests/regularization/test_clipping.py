"""Clipping: new gradients, torch's twins, and what becomes of NaN and infinity."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from optlib.regularization.clipping import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    clip_gradients,
    global_norm,
)


def parameters(*grads):
    params = [torch.zeros(np.shape(g), dtype=torch.float64, requires_grad=True) for g in grads]
    for p, g in zip(params, grads):
        p.grad = torch.tensor(g, dtype=torch.float64)
    return params


def test_by_hand():
    g = np.array([3.0, -4.0])
    assert clip_by_norm(g, 1) == pytest.approx([0.6, -0.8], rel=1e-15)
    assert clip_by_norm(g, 5).tolist() == clip_by_norm(g, 6).tolist() == [3.0, -4.0]
    assert clip_by_norm(0 * g, 1).tolist() == [0.0, 0.0]
    assert clip_by_value(g, 3).tolist() == [3.0, -3.0]
    assert clip_by_value(g, 3.5).tolist() == [3.0, -3.5]
    assert clip_by_value(-7.0, 2.0) == -2.0 and clip_by_norm(-7.0, 2.0) == pytest.approx(-2.0)
    assert g.tolist() == [3.0, -4.0]
    grads, before = clip_by_global_norm([np.array([3.0]), np.array([[4.0], [12.0]])], 1.3)
    assert before == pytest.approx(13, rel=1e-15)
    assert grads[0] == pytest.approx([0.3]) and grads[1] == pytest.approx(np.array([[0.4], [1.2]]))


def test_clip_by_norm_is_torchs_but_for_its_millionth():
    g = [[3.0, 4.0], [12.0]]
    ours, theirs = parameters(*g), parameters(*g)
    before = clip_gradients(ours, 2.0)
    assert before == clip_grad_norm_(theirs, 2.0).item() == 13.0
    for p, q in zip(ours, theirs):
        torch.testing.assert_close(p.grad, q.grad * (13 + 1e-6) / 13, rtol=1e-14, atol=0)
    assert global_norm([p.grad for p in ours]).item() == pytest.approx(2.0, rel=1e-15)
    assert global_norm([p.grad for p in theirs]).item() < 2 - 1e-7
    just_under = parameters([2.0 - 1e-7]), parameters([2.0 - 1e-7])
    clip_gradients(just_under[0], 2.0)
    clip_grad_norm_(just_under[1], 2.0)
    assert just_under[0][0].grad.item() == 2.0 - 1e-7 > just_under[1][0].grad.item()


def test_clip_by_value_is_torchs():
    (p,) = parameters(np.linspace(-3, 3, 25))
    ours = clip_by_value(p.grad, 1.1)
    clip_grad_value_([p], 1.1)
    torch.testing.assert_close(ours, p.grad, rtol=0, atol=0)


def test_the_old_gradients_stay_with_who_holds_them():
    params = parameters([3.0, 4.0], [12.0])
    params.append(torch.zeros(2, requires_grad=True))  # without a gradient
    held = [p.grad for p in params[:2]]
    assert clip_gradients(iter(params), 1.0) == 13.0
    assert [g.tolist() for g in held] == [[3.0, 4.0], [12.0]]
    assert params[2].grad is None
    assert clip_gradients(params[2:], 1.0) == 0.0


def test_nan_and_infinity_are_not_hidden():
    for bad, others in ((math.nan, math.nan), (math.inf, 0.0)):
        ours, theirs = parameters([1.0, bad], [2.0]), parameters([1.0, bad], [2.0])
        assert not math.isfinite(clip_gradients(ours, 1.0))
        clip_grad_norm_(theirs, 1.0)
        for p, q in zip(ours, theirs):
            torch.testing.assert_close(p.grad, q.grad, equal_nan=True)
        assert math.isnan(ours[0].grad[1])
        expected = pytest.approx([others], nan_ok=True)
        assert ours[1].grad.tolist() == expected == [float(ours[0].grad[0])]
    assert np.isnan(clip_by_norm(np.array([np.nan, 1.0]), 1.0)).all()
    value = clip_by_value(np.array([np.nan, np.inf, -np.inf]), 2.0)
    assert np.isnan(value[0]) and value[1:].tolist() == [2.0, -2.0]


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=1, max_size=4),
    st.floats(1e-3, 1e3),
)
def test_the_norm_is_bounded_and_the_direction_stays(grads, max_norm):
    grads = [np.array(g) for g in grads]
    clipped, before = clip_by_global_norm(grads, max_norm)
    together = np.concatenate(grads)
    assert before == pytest.approx(np.linalg.norm(together), rel=1e-12)
    after = np.concatenate(clipped)
    assert np.linalg.norm(after) <= min(before, max_norm) * (1 + 1e-12)
    assert after * max(before, max_norm) == pytest.approx(
        together * max_norm, rel=1e-12, abs=1e-300
    )
    if before <= max_norm:
        assert np.array_equal(after, together)
    np.testing.assert_allclose(clip_by_norm(together, max_norm), after, rtol=1e-12, atol=1e-300)
    limited = clip_by_value(together, max_norm)
    assert np.array_equal(limited, np.clip(together, -max_norm, max_norm))


def test_float32_stays_float32():
    g = np.array([3.0, 4.0], dtype=np.float32)
    assert clip_by_norm(g, 1.0).dtype == clip_by_value(g, 1.0).dtype == np.float32
    assert clip_by_global_norm([g], 1.0)[0][0].dtype == np.float32


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_illegal_bounds_are_named(value):
    for call in (clip_by_norm, clip_by_value, clip_by_global_norm, clip_gradients):
        with pytest.raises(ValueError, match=r"(max_norm|limit) is .*; legal: .* in \(0, inf\)"):
            call(parameters([1.0]) if call is clip_gradients else np.ones(1), value)
