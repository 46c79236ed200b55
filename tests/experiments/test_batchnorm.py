"""Batch norm: the exact identities, by running them; what the committed result settles."""

import json

import pytest
import torch

from experiments.batchnorm import (
    BATCH_SIZES,
    NORMS,
    RATES,
    SEEN,
    TARGET,
    compare,
    he,
    network,
    train,
)
from experiments.digits import evaluate, split
from experiments.measure import result_path


@pytest.fixture(scope="module")
def rows():
    return json.loads(result_path("batchnorm").read_text())["rows"]


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("factor", [0.001, 7.0, 1000.0])
def test_a_factor_on_the_weights_before_a_norm_changes_no_output(norm, factor):
    change, ratio = compare(norm, 0.0, factor, 5)
    assert change < 1e-12
    assert ratio == pytest.approx(1 / factor, rel=1e-9)  # and divides the gradient


def test_eps_makes_it_approximate():
    change, _ = compare("batch", 1e-5, 7.0, 5)
    assert 1e-9 < change < 0.01


def test_without_a_norm_the_output_changes():
    change, _ = compare("none", None, 7.0, 5)
    assert change > 1


def test_he_draws_twice_over_the_inputs():
    model = he(torch.nn.Sequential(torch.nn.Linear(500, 400)), seed=1)
    assert float(model[0].weight.detach().var()) == pytest.approx(2 / 500, rel=0.02)
    assert not model[0].bias.any()


def test_all_norms_start_from_the_same_weights():
    def weights(norm):
        layers = network(norm, "he", 3).modules()
        return torch.cat([m.weight.flatten() for m in layers if isinstance(m, torch.nn.Linear)])

    assert weights("none").equal(weights("batch")) and weights("none").equal(weights("layer"))


def test_layer_norm_is_the_same_in_training_and_evaluation():
    (of_layer,) = train("layer", "he", 0.1, 4, (3,), 5)
    assert of_layer["train_loss"] == pytest.approx(of_layer["train_loss_in_training_mode"])
    (of_batch,) = train("batch", "he", 0.1, 4, (3,), 5)
    assert of_batch["train_loss"] != pytest.approx(of_batch["train_loss_in_training_mode"])


@pytest.mark.parametrize("norm", NORMS)
def test_seeds_trained_together_are_as_trained_alone(norm):
    together = train(norm, "he", 0.1, 16, (3, 4), 20)
    alone = [train(norm, "he", 0.1, 16, (seed,), 20)[0] for seed in (3, 4)]
    assert together[0] == pytest.approx(alone[0], rel=1e-4)
    assert together[1] == pytest.approx(alone[1], rel=1e-4)
    assert together[0] != pytest.approx(together[1], rel=1e-2)


def test_a_trained_network_is_that_of_a_plain_loop():
    rng = torch.Generator().manual_seed(3)
    (x, y), *_ = split(rng, 1000, 300)
    model = network("batch", "he", 3)
    for _ in range(20):
        rows = torch.randint(1000, (16,), generator=rng)
        loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
        grads = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for w, g in zip(model.parameters(), grads):
                w -= 0.1 * g
    loss, _ = evaluate(model, x[:SEEN], y[:SEEN])
    assert loss == pytest.approx(train("batch", "he", 0.1, 16, (3,), 20)[0]["train_loss"], rel=1e-4)


def test_the_rates_were_the_same_for_all(rows):
    for start in ("torch", "he"):
        for norm in NORMS:
            wanted = ("rate", start, norm)
            arms = [r for r in rows if (r["what"], r.get("start"), r["norm"]) == wanted]
            assert [arm["lr"] for arm in arms] == RATES
            for arm in arms:
                losses = arm["train_loss"]["values"]
                assert len(losses) >= 5 and arm["trained"] == sum(x <= TARGET for x in losses)
    assert RATES[-1] / RATES[0] > 10**2.5


def test_batch_norm_trains_at_more_rates(rows):
    trained = {(r["start"], r["norm"]): r["rates_trained"] for r in rows if r["what"] == "range"}
    for start in ("torch", "he"):
        assert trained[start, "batch"] > trained[start, "layer"] > 0
        assert trained[start, "batch"] > trained[start, "none"]
    assert trained["torch", "none"] == 0 < trained["he", "none"]  # the start decides that


def test_tiny_batches_hurt_batch_norm(rows):
    table = {(r["batch_size"], r["norm"]): r for r in rows if r["what"] == "batch size"}
    for size in BATCH_SIZES:
        arms = [table[size, norm] for norm in NORMS]
        assert all(arm["accepted"] for arm in arms) and len({a["trials"] for a in arms}) == 1
        gap = table[size, "layer"]["evaluation_above_training_mode"]["values"]
        assert gap == pytest.approx([0] * len(gap), abs=1e-5)
    for size in (2, 4):
        assert table[size, "batch"]["test_loss_above_layer"]["low"] > 0
