"""The large-batch gap: what each comparison allows a batch, and what the committed result says."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments import generalization_gap as gap
from experiments.measure import result_path
from experiments.protocol import log_grid
from experiments.side_by_side import digits
from optlib.optimizers.momentum import Momentum
from optlib.training import train

DIGITS = gap.SETTINGS["digits"]


def test_an_epoch_has_every_row_once():
    task = digits((3, 4))
    rows = torch.cat(list(gap.epochs(task, (3, 4), 256, 8)), dim=1)
    for epoch in rows.split(1024, dim=1):
        assert epoch.sort(dim=1).values.equal(torch.arange(1024).expand(2, -1))
    assert not rows[0].equal(rows[1]) and not rows[:, :1024].equal(rows[:, 1024:])
    (alone,) = gap.epochs(digits((4,)), (4,), 256, 1)
    assert alone[0].equal(rows[1, :256])


@pytest.mark.parametrize("setting", gap.SETTINGS.values(), ids=gap.PARTS)
def test_a_comparison_holds_fixed_what_its_name_says(setting):
    most = setting.epochs * setting.examples // setting.sizes[0]
    for size in setting.sizes:
        allowed = gap.lengths(setting, size)
        (equal,) = allowed["equal epochs"]
        assert equal * size == setting.epochs * setting.examples
        assert allowed["equal updates"] == [most] and max(allowed["own length"]) == most
        assert {equal, most} <= {*allowed["own length"]}
    assert setting.task((0,)).train[1].shape[1] == setting.examples


def test_a_course_is_that_of_an_ordinary_loop():
    seeds, rates = (3, 4), [0.05, 0.4]
    found = gap.course(DIGITS, 256, rates, seeds, [3, 6], ["train", "test"])
    task = digits(seeds)
    assert list(found) == [3, 6]
    for i, lr in enumerate(rates):
        for j, seed in enumerate(seeds):
            model, (x, y) = task.model(seed), (z[j] for z in task.train)
            batches = [(x[r[j]], y[r[j]]) for r in gap.epochs(task, seeds, 256, 6)]
            train(model, Momentum(model.parameters(), lr=lr), batches, cross_entropy)
            for part in ("train", "test"):
                x_seen, y_seen = (z[j] for z in getattr(task, part))
                with torch.no_grad():
                    scores = model(x_seen)
                loss, error = (found[6][f"{part}_{what}"][i, j] for what in ("loss", "error"))
                assert loss == pytest.approx(float(cross_entropy(scores, y_seen)), rel=1e-4)
                wrong = 100 * float((scores.argmax(1) != y_seen).double().mean())
                assert error == pytest.approx(wrong, abs=0.3)  # a tie or two in float32


def test_validation_picks_the_rate_and_the_length(monkeypatch):
    """Where the score has one known valley, every arm ends in it, as near as it is allowed."""
    setting = DIGITS._replace(grid=log_grid(0.01, 1, 5), sizes=(16, 64, 256))

    def course(setting, size, rates, seeds, marks, parts):
        def score(rate, t):  # the best rate is .1 at every length, the best length 160
            return np.log(rate / 0.1) ** 2 + np.log(t / 160) ** 2

        seen = {t: [[score(rate, t)] for rate in rates] for t in marks}
        return {t: {"validation_loss": np.array(of)} for t, of in seen.items()}

    monkeypatch.setattr(gap, "course", course)
    arms = gap.tuned_arms(setting)
    assert [arm.lr for arm in arms.values()] == pytest.approx([0.1] * len(arms))
    assert all(arm.accepted and arm.trials == 5 for arm in arms.values())
    updates = {arm: of.updates for arm, of in arms.items()}
    for size, equal in zip(setting.sizes, (1280, 320, 80)):
        assert updates["equal epochs", size] == updates[gap.BORROWED, size] == equal
        assert updates["equal updates", size] == 1280
        assert updates["own length", size] == 160


def test_the_borrowed_rate_is_the_smallest_batchs(monkeypatch):
    def course(setting, size, rates, seeds, marks, parts):  # the best rate grows with the batch
        seen = [[np.log(rate / 0.02 / (size / 16)) ** 2] for rate in rates]
        return {t: {"validation_loss": np.array(seen)} for t in marks}

    monkeypatch.setattr(gap, "course", course)
    setting = DIGITS._replace(grid=log_grid(0.005, 0.64, 8), sizes=(16, 64))
    arms = gap.tuned_arms(setting)
    assert [arms["equal epochs", size].lr for size in (16, 64)] == pytest.approx([0.02, 0.08])
    assert [arms[gap.BORROWED, size].lr for size in (16, 64)] == pytest.approx([0.02, 0.02])


@pytest.fixture(scope="module")
def table():
    rows = json.loads(result_path("generalization_gap").read_text())["rows"]
    return {(r["task"], r["comparison"], r["batch_size"]): r for r in rows}


def test_the_comparison_was_fair(table):
    for name, setting in gap.SETTINGS.items():
        arms = [table[name, how, size] for how in gap.COMPARISONS for size in setting.sizes]
        assert all(arm["accepted"] for arm in arms)
        assert len({arm["trials"] for arm in arms}) == 1
        assert all(len(arm["test_loss"]["values"]) >= 5 for arm in arms)
        for arm in arms:
            allowed = gap.lengths(setting, arm["batch_size"])
            assert arm["updates"] in allowed.get(arm["comparison"], allowed["equal epochs"])
            assert arm["epochs"] == arm["updates"] * arm["batch_size"] / setting.examples


def test_the_smallest_batch_is_itself(table):
    for (name, how, size), row in table.items():
        if size == gap.SETTINGS[name].sizes[0]:
            assert all(row[f"{what}_above_smallest"]["mean"] == 0 for what in gap.MEASURED)
            if how != "own length":  # at equal epochs it takes as many updates as it may
                once = table[name, "equal epochs", size]
                assert all(row[what] == once[what] for what in gap.MEASURED)


def test_gaps_are_test_minus_train(table):
    for row in table.values():
        for what in ("loss", "error"):
            parts = zip(*(row[f"{of}_{what}"]["values"] for of in ("test", "train")))
            assert row[f"{what}_gap"]["values"] == pytest.approx([a - b for a, b in parts])


def test_most_of_the_gap_is_updates_and_rate(table):
    """Digits: each step of tuning leaves less of it, the last one something. Text: nothing."""
    borrowed, epochs, updates, own = (
        table["digits", how, 1024]["test_error_above_smallest"] for how in gap.COMPARISONS
    )
    assert borrowed["low"] > epochs["high"] > epochs["low"] > updates["high"]
    assert updates["low"] > 0 and own["low"] > 0
    assert table["digits", "equal epochs", 1024]["train_error_above_smallest"]["low"] > 0
    assert table["text", "equal epochs", 512]["test_loss_above_smallest"]["low"] > 0
    for how in ("equal updates", "own length"):
        assert not table["text", how, 512]["test_loss_above_smallest"]["resolved"]
