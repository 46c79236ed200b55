"""The protocol: edges are widened, budgets equal, intervals hold what they promise."""

from math import inf, isnan, log10, nan

import numpy as np
import pytest

from experiments.protocol import (
    bootstrap_interval,
    difference,
    interval,
    log_grid,
    on_edge,
    paired_interval,
    spread,
    steps_to,
    tune,
)


def valley(best):
    """A score that is lowest at the rate `best`."""
    return lambda rate: (log10(rate) - log10(best)) ** 2


def tuned_on(bests, grid=(1e-3, 1e-1, 5), rounds=5):
    calls = []

    def validate(arm, rate):
        calls.append((arm, rate))
        return valley(bests[arm])(rate)

    return tune(validate, {arm: log_grid(*grid) for arm in bests}, rounds), calls


def test_log_grid():
    assert log_grid(1e-3, 1e-1, 3) == pytest.approx([1e-3, 1e-2, 1e-1])


@pytest.mark.parametrize("best", [1e-5, 3e-4, 1e-1, 1.0, 30.0])
def test_a_winner_on_the_edge_is_widened(best):
    tuned, _ = tuned_on({"planted": best})
    arm = tuned["planted"]
    assert arm.accepted and not on_edge(arm.trials)
    assert abs(log10(arm.rate / best)) <= 0.26  # within half a step of the grid
    assert min(arm.trials) < best < max(arm.trials)


def test_a_winner_inside_is_accepted_at_once():
    tuned, calls = tuned_on({"planted": 1e-2})
    assert len(calls) == 5 and tuned["planted"].rate == pytest.approx(1e-2)
    assert tuned["planted"].score == pytest.approx(0, abs=1e-12)


def test_every_arm_has_the_same_budget_though_one_is_widened():
    tuned, calls = tuned_on({"inside": 1.2e-2, "edge": 5.0, "other edge": 1e-5})
    counts = {arm: sum(a == arm for a, _ in calls) for arm in tuned}
    assert len(set(counts.values())) == 1 and counts["inside"] > 5
    assert {len(t.trials) for t in tuned.values()} == {counts["inside"]}
    assert all(t.accepted for t in tuned.values())


def test_what_never_leaves_the_edge_is_not_accepted():
    tuned = tune(lambda arm, rate: -log10(rate), {"a": log_grid(1, 10, 3)}, rounds=2)
    assert not tuned["a"].accepted and len(tuned["a"].trials) == 7


def test_failures_never_win_and_high_rates_are_left():
    def validate(arm, rate):
        return nan if rate > 1e-4 else valley(1e-5)(rate)

    tuned = tune(validate, {"a": log_grid(1e-2, 1, 5)}, rounds=9)
    assert tuned["a"].accepted and tuned["a"].rate <= 1e-4
    assert not tune(lambda *_: inf, {"a": log_grid(1, 10, 3)}, rounds=1)["a"].accepted


@pytest.mark.parametrize("grids", [{"a": [1, 2, 3], "b": [1, 2, 3, 4]}, {"a": [1, 2]}])
def test_unequal_and_tiny_grids_are_refused(grids):
    with pytest.raises(ValueError, match="same number of rates"):
        tune(lambda arm, rate: 0.0, grids)


def test_a_paired_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        seed_effect = rng.normal(scale=10, size=5)  # shared by both arms: pairing removes it
        a, b = seed_effect + rng.normal(1, 1, 5), seed_effect + rng.normal(0, 1, 5)
        mean, low, high = paired_interval(a, b)
        assert low < mean < high
        hits += low <= 1 <= high
    assert 0.935 < hits / 2000 < 0.965


def test_intervals_by_hand():
    mean, low, high = interval([1, 2, 3, 4, 5])
    assert (mean, low, high) == pytest.approx((3, 3 - 1.963243, 3 + 1.963243), abs=1e-5)
    row = spread([1, 2, 3, 4, 5])
    assert (row["mean"], row["values"]) == (3, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert difference([1, 2, 3, 4, 5.5], [0, 1, 2, 3, 4])["resolved"]
    assert not difference([1, -1, 2, -2, 0], [0] * 5)["resolved"]


def test_the_bootstrap_covers_the_median():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        _, low, high = bootstrap_interval(rng.exponential(size=25), rng, draws=400)
        hits += low <= np.log(2) <= high
    assert 0.89 < hits / 300 < 0.99


def test_fewer_than_five_seeds_and_broken_pairs_are_refused():
    for f in (interval, spread, lambda v: bootstrap_interval(v, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="4 seeds"):
            f([1, 2, 3, 4])
    with pytest.raises(ValueError, match="not pairs"):
        paired_interval([1] * 5, [1] * 6)


def test_steps_to():
    assert steps_to(0.5, [0.9, 0.5, 0.1]) == 2
    assert steps_to(0.5, [0.9, 0.6, 0.5], every=10) == 30
    assert isnan(steps_to(0.5, [0.9, nan]))
