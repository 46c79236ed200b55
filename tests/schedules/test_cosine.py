"""Cosine annealing: the reference values, torch up to T, and the minimum after it."""

import pytest
import torch

from optlib.schedules.cosine import cosine_annealing


@pytest.mark.parametrize(
    "share, fraction",
    [
        (0.0, 1.0),
        (0.1, 0.975528),
        (0.25, 0.853553),
        (0.5, 0.5),
        (0.75, 0.146447),
        (0.9, 0.024472),
        (1.0, 0.0),
    ],
)
def test_r01_fractions(share, fraction):
    assert cosine_annealing(100 * share, 100, 1.0) == pytest.approx(fraction, abs=5e-7)


def test_r01_the_mean_over_the_first_hundred():
    assert sum(cosine_annealing(t, 100, 1.0) for t in range(100)) / 100 == pytest.approx(0.505)


@pytest.mark.parametrize("lr_min", [0.0, 0.03])
@pytest.mark.parametrize("T", [1, 7, 100])
def test_equals_torch_up_to_T(T, lr_min):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.8)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T, eta_min=lr_min)
    for t in range(T + 1):
        theirs = scheduler.get_last_lr()[0]
        assert cosine_annealing(t, T, 0.8, lr_min) == pytest.approx(theirs, rel=1e-12, abs=1e-14)
        optimizer.step()
        scheduler.step()


def test_it_stays_at_the_minimum_where_torch_climbs():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    for _ in range(200):
        optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr()[0] == pytest.approx(1.0)
    for t in (100, 125, 150, 200, 1e9):
        assert cosine_annealing(t, 100, 1.0, 0.25) == 0.25


def test_it_falls_and_is_symmetric_about_the_middle():
    values = [cosine_annealing(t / 8, 10, 3.0, 1.0) for t in range(81)]
    assert all(a > b for a, b in zip(values, values[1:]))
    for a, b in zip(values, reversed(values)):
        assert a + b == pytest.approx(4.0, rel=1e-14)


def test_ends_are_exact():
    for T in (1, 3, 10, 12345, 0.7):
        assert cosine_annealing(0, T, 0.1, 0.001) == 0.1
        assert cosine_annealing(T, T, 0.1, 0.001) == 0.001


def test_drives_torchs_lambda_lr():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: cosine_annealing(t, 9, 1.0))
    for t in range(12):
        assert optimizer.param_groups[0]["lr"] == 0.5 * cosine_annealing(t, 9, 1.0)
        optimizer.step()
        scheduler.step()
