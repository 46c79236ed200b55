"""Vanishing gradients: what holds by construction; what the committed result settles."""

import json
from math import sqrt

import pytest
import torch

from experiments.measure import result_path
from experiments.vanishing_gradients import (
    DEPTHS,
    OPTIMIZERS,
    REMEDIES,
    Residual,
    first_step,
    residual,
    xavier,
)


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("vanishing_gradients").read_text())["rows"]


def test_the_gradient_is_the_same_for_every_optimizer():
    ratios = {first_step("sigmoid", 4, name, 3)["gradient_ratio"] for name in OPTIMIZERS}
    assert len(ratios) == 1


def test_sgd_moves_the_layers_in_the_ratio_of_their_gradients():
    of = first_step("sigmoid", 4, "sgd", 3)
    assert of["update_ratio"] == pytest.approx(of["gradient_ratio"], rel=1e-6)
    assert of["largest_factor"] == pytest.approx(1, abs=0.01)


def test_rmsprop_divides_by_at_least_a_share_of_the_gradient():
    """|step| <= lr / sqrt(1 - beta), so a layer's step is at most that times sqrt(its size)."""
    of = first_step("sigmoid", 2, "rmsprop", 3)
    assert 0.5 * sqrt(64 / 10) < of["update_ratio"] <= 1.01 * sqrt(64 / 10)


def test_xavier_has_its_bound():
    model = xavier(2, 0, 4.0)
    bound = 4 * sqrt(6 / (64 + 64))
    largest = float(model[0].weight.detach().abs().max())
    assert 0.99 * bound < largest <= bound and not model[0].bias.any()


def test_residual_adds_to_what_it_is_given():
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    model = residual(6, 0)
    assert sum(isinstance(layer, Residual) for layer in model) == 6
    layer = model[0]
    assert layer(x).equal(x + torch.sigmoid(layer.layers[0](x)))


def test_the_comparisons_were_fair(rows):
    for what in ("optimizer", "remedy"):
        for depth in DEPTHS:
            arms = [r for r in rows if r["what"] == what and r["depth"] == depth]
            assert all(arm["accepted"] for arm in arms)
            assert len({arm["trials"] for arm in arms}) <= 1
            assert all(len(arm["train_loss"]["values"]) >= 5 for arm in arms)


def test_deeper_is_smaller_and_the_step_does_not_show_it(rows):
    table = {(r["depth"], r["optimizer"]): r for r in rows if r["what"] == "optimizer"}
    for shallow, deep in zip(DEPTHS, DEPTHS[1:]):
        ratios = [table[d, "sgd"]["gradient_ratio_at_start"] for d in (shallow, deep)]
        assert ratios[1]["high"] < 0.1 * ratios[0]["low"]
    for name in ("rmsprop", "adam"):
        assert table[6, name]["update_ratio_at_start"]["low"] > 1
        assert table[6, name]["train_loss_above_sgd"]["high"] < 0


def test_remedies_bring_the_gradient_back_under_sgd(rows):
    table = {r["remedy"]: r for r in rows if r["what"] == "remedy"}
    plain = table["sigmoid"]
    assert plain["train_loss"]["low"] > 2
    for name in REMEDIES.keys() - {"sigmoid"}:
        row = table[name]
        assert row["accepted"]
        assert (
            row["gradient_ratio_at_start"]["low"] > 100 * plain["gradient_ratio_at_start"]["high"]
        )
        assert row["train_loss_above_sigmoid"]["high"] < -1


def test_a_better_start_under_sgd_beats_an_adaptive_step_from_a_bad_one(rows):
    adaptive = [
        r for r in rows if (r["depth"], r.get("optimizer")) in {(6, "rmsprop"), (6, "adam")}
    ]
    remedies = [r for r in rows if r["what"] == "remedy" and r["remedy"] != "sigmoid"]
    worst = max(row["train_loss"]["high"] for row in remedies)
    assert worst < min(row["train_loss"]["low"] for row in adaptive)


def test_where_adaptive_steps_have_moved_the_weights_the_gradient_has_come_back(rows):
    table = {(r["depth"], r["optimizer"]): r for r in rows if r["what"] == "optimizer"}
    stuck = table[6, "sgd"]["gradient_ratio_at_end"]["high"]
    for name in ("rmsprop", "adam"):
        assert table[6, name]["gradient_ratio_at_end"]["low"] > 100 * stuck
