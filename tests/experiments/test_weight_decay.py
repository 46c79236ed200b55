"""Decay in the gradient and beside it: where both are one, and what the committed maps settle."""

import json

import numpy as np
import pytest

from experiments import weight_decay as decay
from experiments.measure import result_path


@pytest.fixture
def short(monkeypatch):
    """Training of a few steps, with nothing left behind for the other tests."""
    setting = decay.Setting(decay.digits, decay.next_digit, 100, 20, (0.001, 0.1, 3))
    monkeypatch.setitem(decay.SETTINGS, "short", setting)
    yield "short"
    decay.train.cache_clear()


def test_without_decay_both_methods_are_adam(short):
    l2, decoupled = (decay.train(short, m, 0.01, 0.0, (1, 2)) for m in ("l2", "decoupled"))
    for what in l2:
        np.testing.assert_array_equal(l2[what], decoupled[what])


def test_with_decay_they_are_not(short):
    l2, decoupled = (decay.train(short, m, 0.01, 0.05, (1, 2)) for m in ("l2", "decoupled"))
    assert (abs(l2["test_loss"] - decoupled["test_loss"]) > 1e-3).all()


def test_the_best_decay_of_a_parabola_is_found_between_the_grid_points():
    x = np.arange(-5.0, 0)
    assert decay.log_best(x, (x + 2.8) ** 2) == pytest.approx(-2.8)
    assert decay.log_best(x, x) == -5 and decay.log_best(x, -x) == -1
    assert decay.log_best(x, np.array([3, 2, 1, np.inf, np.inf])) == -3


def test_texts_to_train_tune_and_report_on_are_apart():
    train, validation, test = decay.characters()
    assert len(train) + len(validation) + len(test) == len(decay.corpus.documentation())
    x, y = decay.windows(train, decay.torch.tensor([0, 5]))
    assert x[1].equal(train[5 : 5 + decay.CONTEXT]) and y[1] == train[5 + decay.CONTEXT]


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("weight_decay").read_text())["rows"]


def of(rows, what, **keys):
    return [r for r in rows if r["what"] == what and keys.items() <= r.items()]


def test_every_arm_had_one_budget_and_no_winner_is_on_an_edge(rows):
    for name, setting in decay.SETTINGS.items():
        best, arms = of(rows, "best", setting=name), of(rows, "lambda", setting=name)
        assert [r["method"] for r in best] == list(setting.methods)
        assert len({r["trials"] for r in best}) == 1 == len({r["trials"] for r in arms})
        assert all(r["accepted"] for r in best + arms)
        assert {r["lambda"] for r in arms} >= set(decay.COSTS)


def test_maps_agree_where_nothing_decays(rows):
    for name in ("digits, 100", "text, 3000"):
        l2, decoupled = (
            of(rows, "cell", setting=name, method=method, decay=0.0)
            for method in ("l2", "decoupled")
        )
        assert [r["validation_loss"] for r in l2] == [r["validation_loss"] for r in decoupled]


def test_no_lambda_is_good_everywhere(rows):
    """The usual range's ends: 1e-2 costs on three settings of four, 1e-4 where text is scarce."""
    for name in ("digits, 100", "digits, 1200", "text, 370000"):
        (row,) = of(rows, "lambda", setting=name, **{"lambda": 1e-2})
        assert row["test_loss_above_best"]["low"] > 0.1
    (row,) = of(rows, "lambda", setting="text, 3000", **{"lambda": 1e-4})
    assert row["test_loss_above_best"]["low"] > 0.1
    (row,) = of(rows, "lambda", setting="digits, 1200", **{"lambda": 0.0})
    assert not row["test_loss_above_best"]["resolved"]


def test_which_map_is_less_tilted_depends_on_data_and_convention(rows):
    tilt = {r["setting"]: r for r in of(rows, "tilt", method="decoupled")}
    text = tilt["text, 3000"]
    assert text["slope_above_l2"]["high"] < 0 < text["slope_of_product"]["low"]
    assert tilt["digits, 100"]["slope_above_l2"]["low"] > 0
    assert all(r["share_on_edge"] == 0 for r in of(rows, "tilt", setting="text, 3000"))
