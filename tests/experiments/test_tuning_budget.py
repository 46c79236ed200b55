"""Best of k random rates: exact probabilities, and what the committed result settles."""

import json
from itertools import product

import numpy as np
import pytest

from experiments.measure import result_path
from experiments.tuning_budget import BUDGETS, GRIDS, PARTS, chosen, wins


def test_the_probabilities_are_those_of_all_draws():
    rng = np.random.default_rng(0)
    a, b, a_test, b_test = rng.standard_normal((4, 4))
    a[2] = a_test[2] = b_test[0] = b[0] = np.inf  # diverged: a draw of these two is a tie
    draws = list(product(range(4), repeat=3))
    best = [[min(draw, key=lambda i: losses[i]) for draw in draws] for losses in (a, b)]
    counted = np.mean([
        (a_test[i] < b_test[j]) + 0.5 * (a_test[i] == b_test[j])
        for i in best[0] for j in best[1]
    ])  # fmt: skip
    assert wins(a_test, b_test, chosen(a, 3), chosen(b, 3)) == pytest.approx(counted)


def test_many_draws_choose_the_best_and_one_draw_chooses_any():
    validation = np.array([3.0, 1.0, 2.0, np.inf])
    assert chosen(validation, 1) == pytest.approx([0.25] * 4)
    assert chosen(validation, 1000) == pytest.approx([0, 1, 0, 0])
    assert sum(chosen(validation, 5)) == pytest.approx(1)


def test_an_optimizer_against_itself_is_even():
    losses = np.array([3.0, 1.0, 2.0, np.inf])
    for k in BUDGETS:
        assert wins(losses, losses, chosen(losses, k), chosen(losses, k)) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("tuning_budget").read_text())["rows"]


def test_every_optimizer_has_as_many_rates_over_as_many_decades(rows):
    assert len({len(grid) for grid in GRIDS.values()}) == 1
    assert {round(np.log10(grid[-1] / grid[0]), 6) for grid in GRIDS.values()} == {4}
    outcomes = [r for r in rows if r["what"] == "outcome"]
    assert len(outcomes) == len(PARTS) * sum(map(len, GRIDS.values()))
    for task in PARTS:
        seeds = {len(r["test_loss"]) for r in outcomes if r["task"] == task}
        assert len(seeds) == 1 and min(seeds) >= 5


def test_the_committed_probabilities_follow_from_the_committed_outcomes(rows):
    def table(task, name, what):
        outcomes = (r for r in rows if r["what"] == "outcome")
        lists = [r[what] for r in outcomes if (r["task"], r["optimizer"]) == (task, name)]
        return np.array([[np.inf if x is None else x for x in of] for of in lists]).T

    for row in (r for r in rows if r["what"] == "probability"):
        task, rival = row["task"], row["against"]
        found = [
            wins(a, b, chosen(a_seen, row["k"]), chosen(b_seen, row["k"]))
            for a_seen, a, b_seen, b in zip(
                *(table(task, name, what)
                  for name in ("adam", rival) for what in ("validation_loss", "test_loss"))
            )
        ]  # fmt: skip
        assert row["values"] == pytest.approx(found)
        assert row["low"] <= row["mean"] <= row["high"]


def test_a_budget_decides_it_for_adam_on_text_and_not_on_digits(rows):
    """One random rate leaves it open on words; with sixteen Adam's is nearly always the lower."""
    likely = {(r["task"], r["against"], r["k"]): r for r in rows if r["what"] == "probability"}
    for rival in ("momentum", "sgd"):
        for task in ("next word, bigram", "next character, transformer"):
            assert likely[task, rival, 16]["low"] > 0.9
            assert likely[task, rival, 1]["high"] < 0.8
        assert likely["next word, bigram", rival, 1]["high"] < 0.52
        few, many = (likely["digits, logistic", rival, k] for k in (1, 16))
        assert few["high"] < 0.5 and many["low"] < 0.5 < many["high"]
