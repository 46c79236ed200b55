"""Dropout: all arms of a seed see the same data; what the committed result settles."""

import json

import pytest
import torch

from experiments.dropout import (
    BATCH_SIZE,
    PARTS,
    PROBABILITIES,
    UPDATES,
    batches,
    text,
    train,
)
from experiments.measure import result_path


@pytest.fixture(scope="module")
def table():
    rows = json.loads(result_path("dropout").read_text())["rows"]
    return {(row["part"], row["p"]): row for row in rows}


def test_one_pass_sees_every_example_once():
    rows = batches(600, 10, 60, torch.Generator().manual_seed(0))
    assert sorted(rows.flatten().tolist()) == list(range(600))
    twice = batches(300, 10, 60, torch.Generator().manual_seed(0)).flatten()
    assert torch.bincount(twice).tolist() == [2] * 300


def test_the_text_of_a_test_is_never_trained_on():
    (x, y), (validation, _), (test, _) = text(1000, torch.Generator().manual_seed(0))
    assert len(x) == len(y) == 1000
    assert x[1:, -1].equal(y[:-1])  # what comes next is the last one that the next window knows
    again = text(1000, torch.Generator().manual_seed(1))
    assert again[1][0].equal(validation) and again[2][0].equal(test)


def test_a_run_follows_from_its_seed():
    assert train("digits, 100", 0.5, 0.001, 3) == train("digits, 100", 0.5, 0.001, 3)
    assert train("digits, 100", 0.5, 0.001, 3) != train("digits, 100", 0.5, 0.001, 4)


def test_the_comparison_was_fair(table):
    for part in PARTS:
        task, _ = part.split(", ")
        arms = [table[part, p] for p in PROBABILITIES[task]]
        assert all(arm["accepted"] for arm in arms)
        assert len({arm["trials"] for arm in arms}) == 1
        assert {arm["updates"] for arm in arms} == {UPDATES[task]}  # the two texts are equal here
        assert all(len(arm["test_loss"]["values"]) >= 5 for arm in arms)
    assert table["text, one pass", 0.0]["examples"] == UPDATES["text"] * BATCH_SIZE["text"]


def test_gaps_are_test_minus_train(table):
    for row in table.values():
        for what in ("loss", "error"):
            parts = zip(*(row[f"{of}_{what}"]["values"] for of in ("test", "train")))
            assert row[f"{what}_gap"]["values"] == pytest.approx([a - b for a, b in parts])


def test_a_smaller_gap_is_not_a_better_model(table):
    """One pass over the text: dropout shrinks the gap and makes the model worse."""
    for p in (0.3, 0.5):
        row = table["text, one pass", p]
        assert row["loss_gap_above_none"]["high"] < 0 < row["test_loss_above_none"]["low"]
        assert row["test_error_above_none"]["low"] > 0


def test_many_epochs_on_little_text_are_better_with_dropout(table):
    row = table["text, 10 epochs", 0.3]
    assert row["loss_gap_above_none"]["high"] < 0 and row["test_loss_above_none"]["high"] < 0
