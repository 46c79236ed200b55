"""Warm restarts against a slow loop, the paper's numbers and torch, where logarithms round down."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from optlib.schedules.restarts import warm_restarts


def by_walking(T_0, T_mult, lr_max, lr_min, steps):
    """The rates of the first `steps` steps by walking through every one of them."""
    rates, since, length = [], 0, T_0
    for _ in range(steps):
        rates.append(lr_min + 0.5 * (lr_max - lr_min) * (1 + math.cos(math.pi * since / length)))
        since += 1
        if since == length:
            since, length = 0, length * T_mult
    return rates


def restarts(T_0, T_mult, until):
    start, length = 0, T_0
    while start <= until:
        yield start
        start, length = start + length, length * T_mult


def test_the_papers_restarts_and_rates():
    """R01."""
    assert list(restarts(1, 2, 127)) == [0, 1, 3, 7, 15, 31, 63, 127]
    for T_0, at in ((1, (1, 3, 7, 15, 31, 63, 127)), (10, (10, 30, 70, 150))):
        for t in at:
            assert warm_restarts(t, T_0, 2, 0.05) == 0.05
            assert warm_restarts(t - 1e-9, T_0, 2, 0.05) < 1e-9
    rates = {0: 0.05, 5: 0.025, 9: 0.00122359, 10: 0.05, 20: 0.025, 29: 0.00030779}
    rates |= {30: 0.05, 50: 0.025, 69: 7.707e-5, 70: 0.05}
    for t, rate in rates.items():
        assert warm_restarts(t, 10, 2, 0.05) == pytest.approx(rate, rel=1e-4)
        assert abs(warm_restarts(t, 10, 2, 0.05) - rate) < 6e-9


@pytest.mark.parametrize(
    "T_0, T_mult, t",
    [(1, 3, 121), (1, 10, 111), (2, 3, 242), (2, 10, 222)]
    + [(5, 3, 605), (5, 10, 555), (10, 3, 1210), (10, 10, 1110)],
)
def test_restarts_that_a_logarithm_misses(T_0, T_mult, t):
    assert warm_restarts(t, T_0, T_mult, 0.1) == 0.1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = CosineAnnealingWarmRestarts(optimizer, T_0, T_mult)
    optimizer.step()
    theirs.step(t)  # what the docstring says of torch; if it is cured, say so there
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("T_0", [1, 2, 3, 5, 7, 10, 30, 100])
@pytest.mark.parametrize("T_mult", [1, 2, 3, 4, 5, 7, 10, 1000])
def test_equal_to_walking(T_0, T_mult):
    walked = by_walking(T_0, T_mult, 0.1, 0.001, 4000)
    ours = [warm_restarts(t, T_0, T_mult, 0.1, 0.001) for t in range(4000)]
    assert max(abs(a - b) for a, b in zip(ours, walked)) <= 1e-16


@pytest.mark.parametrize("T_0", [*range(1, 13), 97, 1000, 99_991, 10**6])
@pytest.mark.parametrize("T_mult", [2, 3, 4, 5, 6, 7, 8, 9, 10, 100, 999, 10**6])
def test_the_maximum_exactly_at_every_restart_to_a_million_steps(T_0, T_mult):
    for t in restarts(T_0, T_mult, 10**6):
        assert warm_restarts(t, T_0, T_mult, 0.1) == 0.1
        assert warm_restarts(float(t), T_0, T_mult, 0.1) == 0.1
        before = math.sin(math.pi / 2 / ((t * (T_mult - 1) + T_0) / T_mult))
        if t:  # one step earlier the old cycle is at its last, lowest rate
            assert warm_restarts(t - 1, T_0, T_mult, 0.1) == pytest.approx(
                0.1 * before**2, abs=1e-16
            )


@pytest.mark.parametrize("T_0", [1, 2, 7, 100])
def test_thousands_of_equal_cycles(T_0):
    for n in (0, 1, 999, 10**4, 10**6 // T_0):
        assert warm_restarts(n * T_0, T_0, 1, 0.1) == 0.1
        assert warm_restarts(n * T_0 + T_0 / 2, T_0, 1, 0.1) == pytest.approx(0.05, rel=1e-14)


@pytest.mark.parametrize("T_0, T_mult", [(10, 1), (10, 2), (3, 3), (1, 2)])
def test_equal_to_torch_step_by_step(T_0, T_mult):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0, T_mult, eta_min=0.001)
    for t in range(500):
        ours = warm_restarts(t, T_0, T_mult, 0.05, 0.001)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()


@cache
def cycles(T_0, T_mult):
    return list(restarts(T_0, T_mult, 10**5))


@given(st.data(), st.integers(1, 50), st.integers(1, 12), st.floats(1e-6, 10), st.floats(0, 1))
def test_bounded_and_falling_within_a_cycle(data, T_0, T_mult, lr_max, share):
    starts = cycles(T_0, T_mult)
    k = data.draw(st.integers(0, len(starts) - 2))
    inside = st.floats(starts[k], starts[k + 1], exclude_max=True)
    t, later = sorted((data.draw(inside), data.draw(inside)))
    first, last = (warm_restarts(x, T_0, T_mult, lr_max, share * lr_max) for x in (t, later))
    rounding = 1e-14 * lr_max
    assert share * lr_max - rounding <= last <= first + rounding <= lr_max + 2 * rounding
    at_restart = warm_restarts(starts[k], T_0, T_mult, lr_max, share * lr_max)
    assert at_restart == warm_restarts(0, T_0, T_mult, lr_max, share * lr_max)


@given(st.lists(st.integers(0, 5000), max_size=30))
def test_asked_in_any_order_and_twice(times):
    in_order = {t: warm_restarts(t, 3, 2, 0.1) for t in sorted(times)}
    assert [warm_restarts(t, 3, 2, 0.1) for t in times] == [in_order[t] for t in times]


@pytest.mark.parametrize(
    "message, arguments",
    [
        ("T_0 is 0; legal: a number in", (0, 0, 2, 0.1)),
        ("T_mult is 0; legal: an integer in", (0, 1, 0, 0.1)),
        ("T_mult is 1.5; legal: an integer in", (0, 1, 1.5, 0.1)),
        ("t is -0.5; legal: a number in", (-0.5, 1, 2, 0.1)),
        ("lr_min is -1; legal: a number in", (0, 1, 2, 0.1, -1)),
    ],
)
def test_illegal_arguments_are_named(message, arguments):
    with pytest.raises(ValueError, match=message):
        warm_restarts(*arguments)
