"""Warmup and what follows it: where the peak is, torch's twins, composition."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from optlib.schedules.cosine import cosine_annealing
from optlib.schedules.decay import constant, linear_decay
from optlib.schedules.restarts import warm_restarts
from optlib.schedules.warmup import (
    linear_warmup,
    one_cycle,
    warmup,
    warmup_cosine,
    warmup_stable_decay,
)


def optimizer_at(lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)


def follow(optimizer, scheduler, steps):
    for _ in range(steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


def test_warmup_cosine_by_hand():
    rates = [warmup_cosine(t, 4, 12, 0.8) for t in range(14)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8], rel=1e-15)
    assert rates[3] == rates[4] == 0.8  # the peak is seen twice
    assert rates[8] == pytest.approx(0.4, rel=1e-15)
    assert rates[12] == rates[13] == 0
    assert warmup_cosine(1.5, 4, 12, 0.8) == pytest.approx(0.5)  # the line between whole steps
    assert warmup_cosine(3.5, 4, 12, 0.8) == 0.8
    assert warmup_cosine(12, 4, 12, 0.8, 0.1) == warmup_cosine(99, 4, 12, 0.8, 0.1) == 0.1


@pytest.mark.parametrize("steps", [0, 1])
def test_hardly_any_warmup(steps):
    assert warmup_cosine(0, steps, 10, 0.3) == 0.3
    assert warmup_cosine(10, steps, 10, 0.3) == 0
    assert warmup_cosine(steps, steps, 10, 0.3) == 0.3


@pytest.mark.parametrize("w, T", [(1, 20), (5, 50), (10, 11), (100, 400)])
def test_warmup_cosine_is_torchs_sequence(w, T):
    optimizer = optimizer_at(0.1)
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / w, total_iters=w - 1)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, T - w, eta_min=0.001)
    scheduler = lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[w])
    for t, rate in enumerate(follow(optimizer, scheduler, T + 1)):
        assert warmup_cosine(t, w, T, 0.1, 0.001) == pytest.approx(rate, rel=1e-12)


def test_linear_warmup_is_torchs():
    optimizer = optimizer_at(0.3)
    scheduler = lr_scheduler.LinearLR(optimizer, start_factor=1 / 8, total_iters=7)
    for t, rate in enumerate(follow(optimizer, scheduler, 12)):
        assert linear_warmup(t, 8, 0.3) == pytest.approx(rate, rel=1e-12)
    assert linear_warmup(7.5, 8, 0.3) == 0.3
    assert linear_warmup(0, 0, 0.3) == 0.3


@given(st.integers(0, 50), st.one_of(st.integers(0, 300), st.floats(0, 300)))
def test_warmup_composes_with_any_schedule(w, t):
    cosine = partial(cosine_annealing, T=200, lr_max=0.1, lr_min=0.01)
    expected = warmup_cosine(t, w, w + 200, 0.1, 0.01)
    assert warmup(cosine, w)(t) == pytest.approx(expected, rel=1e-14)
    assert warmup(partial(constant, lr=0.1), w)(t) == linear_warmup(t, w, 0.1)
    saw = partial(warm_restarts, T_0=10, T_mult=2, lr_max=0.1)
    assert warmup(saw, w)(w + t) == saw(w + t - w)
    wsd = warmup(lambda s: linear_decay(max(0, s - 80), 20, 0.1), w)
    assert wsd(t) == pytest.approx(warmup_stable_decay(t, w, 20, w + 100, 0.1), abs=1e-15)


def test_warmup_stable_decay_by_hand():
    rates = [warmup_stable_decay(t, 2, 4, 10, 0.8, 0.4) for t in range(12)]
    expected = [0.4, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4]
    assert rates == pytest.approx(expected, rel=1e-15)
    assert rates[2:7] == [0.8] * 5
    prolonged = [warmup_stable_decay(t, 2, 4, 100, 0.8, 0.4) for t in range(7)]
    assert prolonged == rates[:7]  # the stable part knows no total


@pytest.mark.parametrize("total, peak", [(100, 0.3), (40, 0.25), (37, 0.1), (10, 0.05)])
def test_one_cycle_is_torchs(total, peak):
    optimizer = optimizer_at(0.1)
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, 0.4, total_steps=total, pct_start=peak, cycle_momentum=False
    )
    for t, rate in enumerate(follow(optimizer, scheduler, total)):
        assert one_cycle(t, total, 0.4, peak) == pytest.approx(rate, rel=1e-12, abs=1e-16)
    assert one_cycle(10 * total, total, 0.4, peak) == pytest.approx(0.4 / 25 / 1e4, rel=1e-12)


def test_one_cycle_by_hand():
    assert one_cycle(0, 100, 0.4, div=10) == pytest.approx(0.04, rel=1e-14)
    assert one_cycle(29, 100, 0.4, div=10) == pytest.approx(0.4, rel=1e-14)
    assert one_cycle(99, 100, 0.4, div=10, final_div=2) == pytest.approx(0.02, rel=1e-14)


@given(st.integers(0, 30), st.integers(31, 100), st.floats(0, 200), st.floats(0, 200))
def test_rises_then_falls_and_stays_within_bounds(w, total, t, later):
    t, later = sorted((t, later))
    for schedule in (
        lambda t: warmup_cosine(t, w, total, 0.5, 0.01),
        lambda t: warmup_stable_decay(t, w, total - w, total, 0.5, 0.01),
    ):
        assert 0 < schedule(t) <= 0.5 + 1e-15
        if later < w:
            assert schedule(t) <= schedule(later)
        if t >= w:
            assert schedule(t) >= schedule(later) - 1e-15 >= 0.01 - 1e-14
        assert schedule(t) == schedule(t)


@pytest.mark.parametrize(
    "message, call",
    [
        (
            r"warmup_cosine: warmup_steps is 10; legal: a number in \[0, total_steps\)"
            " with total_steps = 10",
            lambda: warmup_cosine(0, 10, 10, 0.1),
        ),
        ("warmup_steps is -1", lambda: linear_warmup(0, -1, 0.1)),
        ("steps is -1", lambda: warmup(constant, -1)),
        ("decay_steps is 11", lambda: warmup_stable_decay(0, 1, 11, 10, 0.1)),
        ("decay_steps is 0", lambda: warmup_stable_decay(0, 1, 0, 10, 0.1)),
        ("peak is 1", lambda: one_cycle(0, 10, 0.1, peak=1)),
        ("total_steps is 1", lambda: one_cycle(0, 1, 0.1)),
        ("div is 0", lambda: one_cycle(0, 10, 0.1, div=0)),
        ("t is -1", lambda: warmup_cosine(-1, 1, 10, 0.1)),
    ],
)
def test_illegal_arguments_are_named(message, call):
    with pytest.raises(ValueError, match=message):
        call()
