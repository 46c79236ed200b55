"""The race: what is alike for all optimizers, and what its committed result settles."""

import json

import numpy as np
import pytest
import torch

from experiments import optimizer_race as race
from experiments.measure import result_path
from experiments.provenance import code_hash


@pytest.fixture(scope="module")
def table():
    result = json.loads(result_path("optimizer_race").read_text())
    assert result["code"] == code_hash("optimizer_race")
    return {(row["task"], row["optimizer"]): row for row in result["rows"]}


@pytest.mark.parametrize("task", ["digits, mlp", "next character, transformer"])
def test_stacked_models_train_as_one_by_one(task, monkeypatch):
    monkeypatch.setattr(race, "STEPS", 20)
    race.material.cache_clear()
    race.train.cache_clear()
    both = race.train(task, "adam", 0.01, (3, 4))
    for i, seed in enumerate((3, 4)):
        alone = race.train(task, "adam", 0.01, (seed,))
        for what in ("train", "validation", "test_loss"):
            np.testing.assert_allclose(alone[what], both[what][i : i + 1], rtol=2e-4)
    race.material.cache_clear()
    race.train.cache_clear()


def test_one_seed_that_diverges_leaves_the_others_alone(monkeypatch):
    monkeypatch.setattr(race, "STEPS", 5)
    race.material.cache_clear()
    race.train.cache_clear()
    poisoned = race.material(race.TASKS["digits, mlp"], 5)
    (x, y), *held = poisoned
    poisoned = ((torch.full_like(x, torch.nan), y), *held)
    good = race.material(race.TASKS["digits, mlp"], 6)
    alone = race.train("digits, mlp", "sgd", 0.1, (6,))
    monkeypatch.setattr(race, "material", lambda task, seed: poisoned if seed == 5 else good)
    mixed = race.train("digits, mlp", "sgd", 0.1, (5, 6))
    assert np.isnan(mixed["test_loss"][0])
    assert mixed["test_loss"][1] == pytest.approx(alone["test_loss"][0], rel=1e-5)
    race.train.cache_clear()


def test_the_transformer_sees_no_later_character():
    model = race.transformer(0, 50, seed=0)
    x = torch.arange(race.CONTEXT).unsqueeze(0)
    other = x.clone()
    other[0, 20:] = 7
    before, after = model(x), model(other)
    assert before.shape == (1, 50, race.CONTEXT)
    assert torch.equal(before[..., :20], after[..., :20])
    assert not torch.equal(before[..., 20:], after[..., 20:])


def test_windows_do_not_overlap():
    x, y = race.next_character()
    assert (x[:, 1:] == y[:, :-1]).all()
    assert len(x) * (race.CONTEXT + 1) <= len(race.corpus.documentation())


def test_the_parts_make_the_result(table):
    assert {task for task, _ in table} == set(race.PARTS) == set(race.TASKS)
    assert len(table) == len(race.PARTS) * len(race.OPTIMIZERS)
    assert all(row["accepted"] for row in table.values())


def test_the_winner_is_another_on_another_task(table):
    """With its interval away from zero: Adam leads on text, on digits no lead is resolved."""
    for task in ("next word, bigram", "next character, transformer"):
        for name in ("sgd", "momentum"):
            assert table[task, name]["steps_more_than_adam"]["low"] > 0
            assert table[task, name]["test_loss_above_adam"]["low"] > 0
    for name in ("sgd", "momentum", "rmsprop"):
        assert not table["digits, logistic", name]["steps_more_than_adam"]["resolved"]
    assert not table["next character, transformer", "rmsprop"]["test_loss_above_adam"]["resolved"]


def test_a_rate_means_nothing_without_its_optimizer(table):
    """At .001 SGD ends higher than at the rate tuned for it, on every task."""
    for task in race.TASKS:
        row = table[task, "sgd"]
        assert row["test_loss_at_one_thousandth"]["low"] > row["test_loss"]["high"]
        assert row["lr_good"] > 0.1
