"""The critical batch size: the fit on exact curves, the race, and what the result settles."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments import critical_batch as critical
from experiments.measure import result_path
from experiments.protocol import log_grid
from experiments.side_by_side import digits, random_batches
from optlib.optimizers.sgd import SGD

SIZES = np.array([1, 4, 16, 64, 256])


def test_an_exact_curve_is_recovered():
    steps = np.outer(120 * (1 + 40 / SIZES), np.ones(5))
    found = critical.fitted(SIZES, steps)
    assert found["fewest_steps"] == pytest.approx(120, rel=1e-5)
    assert found["measured_over_fitted"] == pytest.approx(np.ones(5), rel=1e-5)
    assert [found["critical"][end] for end in ("middle", "low", "high")] == pytest.approx(
        [40] * 3, rel=1e-5
    )


def test_the_interval_holds_what_the_seeds_have():
    """Seeds that differ in B_c alone: 20, 40, 80 and so on."""
    own = np.array([20, 30, 40, 60, 80])
    found = critical.fitted(SIZES, 120 * (1 + own / SIZES[:, None]))["critical"]
    assert 20 <= found["low"] < found["middle"] < found["high"] <= 80
    assert found["middle"] == pytest.approx(own.mean(), rel=1e-5)  # the mean of the steps is fitted


def test_the_lowest_point_of_a_parabola_is_found_between_the_rates():
    x = np.arange(5.0)
    assert critical.lowest(x, (x - 2.3) ** 2) == pytest.approx(2.3)
    assert critical.lowest(x, (x - 9) ** 2) == 4 and critical.lowest(x, (x + 9) ** 2) == 0


def test_the_exponent_of_the_best_rate_is_recovered():
    rates = log_grid(0.001, 10, 30)
    best = dict(zip(SIZES, [0.05, 0.1, 0.2, 0.2, 0.2]))  # the square root, then no more
    tried = {
        size: {lr: np.full(5, np.exp(np.log(lr / best[size]) ** 2)) for lr in rates}
        for size in SIZES
    }
    found = critical.exponents(SIZES, tried)
    assert found["exponent_small"]["middle"] == pytest.approx(0.5)
    assert found["exponent_large"]["middle"] == pytest.approx(0, abs=1e-9)


@pytest.fixture
def every_step(monkeypatch):
    """A race to a loss that is soon reached, looked at after every step."""
    monkeypatch.setattr(critical, "CHECKED", 1.0)
    monkeypatch.setitem(critical.ARMS, "soon", (digits, 2.0, (32,), SGD, ()))
    return "soon"


def alone(lr, seed, target, longest):
    """The steps that an ordinary loop takes, or twice the longest."""
    task = digits((seed,))
    model, (x, y) = task.model(seed), (z[0] for z in task.train)
    step = SGD(model.parameters(), lr=lr)
    for t, rows in enumerate(random_batches(task, (seed,), 32, longest), 1):
        step.zero_grad()
        cross_entropy(model(x[rows[0]]), y[rows[0]]).backward()
        step.step()
        with torch.no_grad():
            if cross_entropy(model(x), y) <= target:
                return t
    return 2 * longest


def test_a_race_is_that_of_an_ordinary_loop(every_step):
    rates, seeds = [0.01, 0.2, 0.4], (3, 4)
    steps = critical.race(every_step, 32, rates, seeds, 60)
    assert steps.tolist() == [[alone(lr, seed, 2.0, 60) for seed in seeds] for lr in rates]
    assert (steps[0] == 120).all() and (steps[1:] < 60).all()


def test_impatience_changes_no_winner(every_step):
    rates, seeds = [0.05, 0.2, 0.4], (3, 4)
    full, short = (
        critical.race(every_step, 32, rates, seeds, 200, patience) for patience in (np.inf, 1.5)
    )
    fastest = full.max(axis=1).min()
    arrived = full <= 1.5 * fastest
    assert (short[arrived] == full[arrived]).all() and (short[~arrived] == 400).all()
    assert not arrived.all()


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("critical_batch").read_text())["rows"]


def of(rows, what, arm):
    return [r for r in rows if (r["what"], r["arm"]) == (what, arm)]


def test_every_size_had_one_budget_and_arrived(rows):
    for arm, (_, target, sizes, _, _) in critical.ARMS.items():
        measured = of(rows, "batch size", arm)
        assert [r["batch_size"] for r in measured] == [*sizes]
        assert len({r["trials"] for r in measured}) == 1
        for row in measured:
            assert row["accepted"] and row["target"] == target
            assert row["arrived"] == len(row["steps"]["values"]) >= 5
            steps = np.array(row["steps"]["values"])
            assert row["examples"]["values"] == (row["batch_size"] * steps).tolist()


def test_the_committed_curves_follow_from_the_committed_steps(rows):
    for arm, (_, _, sizes, _, _) in critical.ARMS.items():
        (fit,) = of(rows, "fit", arm)
        steps = np.array([r["steps"]["values"] for r in of(rows, "batch size", arm)])
        found = critical.fitted(np.array(sizes), steps)
        assert fit["critical"] == pytest.approx(found["critical"], rel=1e-6)
        assert fit["fewest_steps"] == pytest.approx(found["fewest_steps"], rel=1e-6)


def test_one_curve_fits_all_and_its_place_depends_on_task_and_optimizer(rows):
    fits = {arm: of(rows, "fit", arm)[0] for arm in critical.ARMS}
    for fit in fits.values():
        assert np.abs(np.log(fit["measured_over_fitted"])).max() < 0.15
    order = ["digits, sgd", "digits, adam", "text, sgd", "text, adam"]
    for smaller, larger in zip(order, order[1:]):
        assert fits[smaller]["critical"]["high"] < fits[larger]["critical"]["low"]


def test_the_linear_rule_is_sgds_and_ends_early_the_square_root_is_adams(rows):
    holds = {arm: of(rows, "fit", arm)[0] for arm in critical.ARMS}
    for task in ("digits", "text"):
        sgd, adam = holds[f"{task}, sgd"], holds[f"{task}, adam"]
        assert adam["sqrt_holds_to"] > adam["linear_holds_to"]
        assert sgd["linear_holds_to"] < max(critical.ARMS[f"{task}, sgd"][2])
        beyond = [r for r in of(rows, "batch size", f"{task}, sgd")
                  if r["batch_size"] > sgd["linear_holds_to"]]  # fmt: skip
        assert beyond and all(r["arrived_linear"] == 0 for r in beyond)
