"""The falling schedules: printed values, torch's twins, and the shape that each promises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from optlib.schedules import decay

RATES = st.floats(1e-6, 10)
TIMES = st.one_of(st.integers(0, 10**6), st.floats(0, 1e6))


def torch_rates(make, lr, steps):
    """The rates that a torch scheduler gives to the first `steps` optimizer steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_step_decay_falls_at_every_not_after_it():
    rates = [decay.step_decay(t, 0.1) for t in (0, 29, 30, 59, 60, 89, 90)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0001], rel=1e-14)
    assert decay.step_decay(29.999, 0.1) == 0.1
    assert decay.step_decay(4, 1.0, factor=0.5, every=2) == 0.25


def test_step_decay_is_torchs():
    theirs = torch_rates(lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.3), 0.2, 100)
    ours = [decay.step_decay(t, 0.2, factor=0.3, every=7) for t in range(100)]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_exponential_decay_is_torchs_and_divides_by_ten_in_thirty_epochs():
    k = math.log(10) / 30
    assert k == pytest.approx(0.0767528, abs=5e-8)  # R12
    assert decay.exponential_decay(30, 0.1, k) == pytest.approx(0.01, rel=1e-14)
    assert math.log(2) / k == pytest.approx(9.0309, abs=5e-5)
    assert decay.exponential_decay(9.0309, 0.1, k) == pytest.approx(0.05, rel=1e-5)
    theirs = torch_rates(lambda o: lr_scheduler.ExponentialLR(o, gamma=math.exp(-k)), 0.1, 100)
    ours = [decay.exponential_decay(t, 0.1, k) for t in range(100)]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_linear_decay_is_torchs_and_stays_at_its_end():
    make = lambda o: lr_scheduler.LinearLR(o, 1.0, end_factor=0.05, total_iters=40)  # noqa: E731
    ours = [decay.linear_decay(t, 40, 0.2, 0.01) for t in range(60)]
    assert ours == pytest.approx(torch_rates(make, 0.2, 60), rel=1e-12)
    assert decay.linear_decay(0, 40, 0.1, 0.003) == 0.1
    assert (
        decay.linear_decay(40, 40, 0.1, 0.003) == decay.linear_decay(1e9, 40, 0.1, 0.003) == 0.003
    )


@pytest.mark.parametrize(
    "step, rate",
    [
        (1, 1.746928e-7),
        (400, 6.987712e-5),
        (4000, 6.987712e-4),
        (16000, 3.493856e-4),
        (100_000, 1.397542e-4),
    ],
)
def test_noam_gives_the_papers_rates(step, rate):
    """R19; the paper's first step has the number 1, our t is 0 there."""
    assert decay.noam(step - 1) == pytest.approx(rate, rel=5e-7)
    peak = (512 * 4000) ** -0.5
    general = decay.inverse_square_root(step - 1, 4000, peak)
    assert general == pytest.approx(decay.noam(step - 1), rel=1e-13)


def test_inverse_square_root_peaks_at_the_last_warmup_step():
    rates = [decay.inverse_square_root(t, 10, 0.5) for t in range(41)]
    assert max(rates) == rates[9] == 0.5
    assert rates[0] == pytest.approx(0.05)
    assert rates[39] == pytest.approx(0.25, rel=1e-15)


def test_constant_is_constant():
    assert decay.constant(0, 0.3) == decay.constant(1e5, 0.3) == 0.3


@given(RATES, TIMES, TIMES, st.floats(0, 1), st.floats(0, 1))
def test_all_fall_and_stay_within_their_bounds(lr, t, later, share, k):
    t, later = sorted((t, later))
    for schedule in (
        lambda t: decay.step_decay(t, lr, factor=share, every=1000),
        lambda t: decay.exponential_decay(t, lr, k),
        lambda t: decay.linear_decay(t, 1000, lr, share * lr),
    ):
        assert 0 <= schedule(later) <= schedule(t) * (1 + 1e-12) <= lr * (1 + 1e-11)
        assert schedule(t) == schedule(t)
    assert decay.linear_decay(t, 1000, lr, share * lr) >= share * lr * (1 - 1e-12)


@pytest.mark.parametrize(
    "name, call",
    [
        ("t is -1", lambda: decay.step_decay(-1, 0.1)),
        ("t is nan", lambda: decay.constant(math.nan, 0.1)),
        ("t is inf", lambda: decay.exponential_decay(math.inf, 0.1, 1)),
        ("lr is -0.1", lambda: decay.constant(0, -0.1)),
        ("every is 0", lambda: decay.step_decay(0, 0.1, every=0)),
        ("factor is 1.5", lambda: decay.step_decay(0, 0.1, factor=1.5)),
        ("k is -1", lambda: decay.exponential_decay(0, 0.1, -1)),
        ("T is 0", lambda: decay.linear_decay(0, 0, 0.1)),
        ("lr_max is '1'", lambda: decay.linear_decay(0, 1, "1")),
        ("d_model is 0", lambda: decay.noam(0, 0)),
        ("warmup_steps is 0", lambda: decay.inverse_square_root(0, 0, 1)),
        (r"t is tensor\(\[0, 1\]\)", lambda: decay.constant(torch.arange(2), 0.1)),
    ],
)
def test_illegal_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"{name}; legal: a number in "):
        call()


def test_a_wrong_call_is_still_pythons_own_error():
    with pytest.raises(TypeError, match="lr"):
        decay.constant(0)
    with pytest.raises(TypeError, match="gamma"):
        decay.step_decay(0, 0.1, gamma=0.5)
