"""Early stopping: each criterion on curves worked by hand; what the committed result settles."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.early_stopping import (
    CRITERIA,
    EPOCHS,
    PARTS,
    outcome,
    stop_epoch,
    with_wrong_labels,
)
from experiments.measure import result_path

VAL = [1, 0.8, 0.7, 0.72, 0.69, 0.71, 0.735, 0.74, 0.75]  # reference value R07
TRAIN = [1, 0.7, 0.5, 0.42, 0.36, 0.33, 0.31, 0.30, 0.295]


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("early_stopping").read_text())["rows"]


@pytest.fixture(scope="module")
def table(rows):
    return {(r["part"], r["criterion"]): r for r in rows if r["what"] == "criterion"}


@pytest.mark.parametrize(
    "criterion, epoch",
    [("GL 5", 7), ("GL 2", 4), ("patience 1", 4), ("patience 2", 7), ("patience 3", 8),
     ("patience 5", 9), ("PQ 0.5", 9), ("last weights", 9)],
)  # fmt: skip
def test_stops_where_a_hand_calculation_does(criterion, epoch):
    assert stop_epoch(CRITERIA[criterion], VAL, TRAIN) == epoch


def test_up_looks_at_the_ends_of_strips():
    val = [9] * 25
    val[4], val[9], val[14], val[19], val[24] = 3, 4, 3, 4, 5
    stops = [stop_epoch(CRITERIA[f"UP {s}"], val, val) for s in (1, 2, 3)]
    assert stops == [10, 25, 25]  # one rise at 10, two in a row at 25, three never
    assert stop_epoch(CRITERIA["UP 3"], [*val, 9], val) == 26


@given(st.lists(st.floats(0.1, 9), min_size=2, max_size=30, unique=True))
def test_patience_1_is_the_first_rise(val):
    first = next((t + 1 for t in range(1, len(val)) if val[t] > val[t - 1]), len(val))
    assert stop_epoch(CRITERIA["patience 1"], val, val) == first


def test_keeps_the_best_weights_but_for_the_last():
    curves = {"val": VAL, "train": TRAIN, "test_loss": range(9), "test_error": range(9)}
    assert outcome("patience 3", curves) == {"epochs": 8, "test_loss": 4, "test_error": 4}
    assert outcome("last weights", curves) == {"epochs": 9, "test_loss": 8, "test_error": 8}


def test_wrong_labels_are_wrong_and_as_many_as_asked():
    y = torch.arange(200) % 10
    noisy = with_wrong_labels(y, 0.15, torch.Generator().manual_seed(0))
    assert int((noisy != y).sum()) == 30 and set(noisy.tolist()) == set(range(10))
    assert with_wrong_labels(y, 0.0, torch.Generator().manual_seed(0)).equal(y)


def test_the_first_rise_comes_too_early(rows, table):
    curves = [r for r in rows if r["what"] == "curves"]
    assert [r["part"] for r in curves] == list(PARTS)
    for row in curves:
        part = row["part"]
        assert row["accepted"] and row["seeds"] >= 20
        assert row["seeds_with_a_rise_before"] >= 0.9 * row["seeds"]
        assert row["rises_before_minimum"]["low"] > 1
        for criterion in ("patience 5", "patience 10"):
            row = table[part, criterion]
            assert row["test_loss_above_first_rise"]["high"] < 0


def test_more_patience_costs_more_epochs(table):
    for part in PARTS:
        runs = [table[part, f"patience {k}"]["epochs"]["values"] for k in (1, 2, 3, 5, 10, 20)]
        assert (np.diff(runs, axis=0) >= 0).all()  # for every seed
        assert np.max(runs) <= EPOCHS


def test_wrong_labels_make_stopping_worth_it(table):
    row = table["wrong labels", "patience 10"]
    assert row["test_loss_above_last_weights"]["high"] < 0
    assert row["test_error_above_last_weights"]["high"] < 0
    assert row["epochs"]["high"] < EPOCHS / 2


def test_the_error_can_be_lowest_where_the_loss_is_not(table):
    row = table["wrong labels, a tenth of the rate", "patience 10"]
    assert row["test_loss_above_first_rise"]["high"] < 0 < row["test_error_above_first_rise"]["low"]
