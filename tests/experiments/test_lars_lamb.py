"""LARS and LAMB: what the runs share, what a trust ratio is, and what the result settles."""

import json

import pytest
import torch

from experiments import lars_lamb
from experiments.measure import result_path


def test_a_trust_ratio_is_the_papers():
    """LARS: trust * |w| / |g|. LAMB at its first step: |w| / |r|, r the signs of the gradient."""
    w, g = torch.tensor([3.0, 4.0]), torch.tensor([0.6, -0.8])
    zeros = {"m": 0 * w, "v": 0 * w, "t": 0}
    assert lars_lamb.layer_ratio("lars", w, g, {}) == pytest.approx(5 * lars_lamb.TRUST, rel=1e-5)
    assert lars_lamb.layer_ratio("lamb", w, g, zeros) == pytest.approx(5 / 2**0.5, rel=1e-5)


def test_all_arms_of_a_seed_start_alike():
    """At a rate too small to move anything, every optimizer ends at the same loss."""
    task = lars_lamb.PARTS[0]
    losses = [lars_lamb.train(task, name, 1e-12, 3)["test_loss"] for name in lars_lamb.GRIDS]
    lars_lamb.train.cache_clear()
    assert losses == pytest.approx([losses[0]] * len(losses), abs=1e-6)


def test_biases_and_norms_are_left_unscaled():
    model = lars_lamb.transformer(0, 50)
    scaled, apart = lars_lamb.optimizer("lars", model, 0.1).param_groups
    assert scaled["adapt"] and not apart["adapt"]
    assert {w.ndim for w in scaled["params"]} == {2} and {w.ndim for w in apart["params"]} == {1}


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("lars_lamb").read_text())["rows"]


@pytest.fixture(scope="module")
def table(rows):
    return {(r["task"], r["optimizer"]): r for r in rows if r["what"] == "optimizer"}


def test_every_arm_had_one_budget_and_no_winner_is_on_an_edge(table):
    for task in lars_lamb.PARTS:
        arms = [table[task, name] for name in lars_lamb.GRIDS]
        assert len({arm["trials"] for arm in arms}) == 1
        assert all(arm["accepted"] for arm in arms)


def test_the_trust_ratios_of_all_weight_matrices_are_kept(rows):
    ratios = [r for r in rows if r["what"] == "trust ratio"]
    matrices = {lars_lamb.PARTS[0]: 2, lars_lamb.PARTS[1]: 7, lars_lamb.PARTS[2]: 7}
    for task, count in matrices.items():
        for name in ("lars", "lamb"):
            layers = [r for r in ratios if (r["task"], r["optimizer"]) == (task, name)]
            assert len(layers) == count
            assert all(r[when]["low"] > 0 for r in layers for when in lars_lamb.MOMENTS)


def test_a_lead_of_lamb_goes_with_the_size_of_the_embeddings(table):
    """Resolved on the transformer as torch draws it, gone where its embeddings start smaller."""
    digits, large, small = lars_lamb.PARTS
    assert table[large, "lamb"]["test_loss_above_adam"]["high"] < 0
    assert not table[small, "lamb"]["test_loss_above_adam"]["resolved"]
    assert not table[small, "lars"]["test_loss_above_adam"]["resolved"]
    for task in (large, small):
        assert table[task, "momentum"]["test_loss_above_adam"]["low"] > 0


def test_on_digits_no_test_error_stands_out_though_lamb_trains_lowest(table):
    task = lars_lamb.PARTS[0]
    arms = {name: table[task, name] for name in lars_lamb.GRIDS}
    assert not any(arm["test_error_percent_above_adam"]["resolved"] for arm in arms.values())
    assert arms["lamb"]["train_loss_above_adam"]["high"] < 0
    assert arms["lamb"]["test_loss_above_adam"]["low"] > 0
