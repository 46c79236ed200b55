"""What the comparison of schedules claims: its design, and the differences it resolved."""

import json

import pytest
import torch

from experiments.measure import result_path
from experiments.schedules import SCHEDULES, WRONG, with_wrong_labels
from experiments.side_by_side import digits

ROWS = json.loads(result_path("schedules").read_text())["rows"]
TEXT = {(r["optimizer"], r["schedule"]): r for r in ROWS if r["what"] == "text"}
NOISE = {(r["rates"], r["lr"], r["schedule"]): r for r in ROWS if r["what"] == "label noise"}


def test_every_schedule_had_the_same_budget_and_seeds():
    assert {name for _, name in TEXT} == set(SCHEDULES)
    assert all(row["accepted"] for row in ROWS)
    for optimizer in ("adam", "momentum"):
        assert len({r["trials"] for (o, _), r in TEXT.items() if o == optimizer}) == 1
    assert len({r["trials"] for r in NOISE.values()}) == 1
    assert len({len(r["above_cosine"]["values"]) for r in TEXT.values()}) == 1


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_what_is_resolved_against_one_cosine(optimizer):
    assert set(TEXT[optimizer, "cosine"]["above_cosine"]["values"]) == {0.0}
    for worse in ("warm restarts", "cosine, horizon doubled", "constant", "step", "exponential"):
        assert TEXT[optimizer, worse]["percent_above_cosine"]["low"] > 0
    assert TEXT[optimizer, "linear"]["percent_above_cosine"]["high"] < 0


def test_what_a_decay_gains_depends_on_the_rate_that_all_share():
    gain = {key: row["points_above_constant"] for key, row in NOISE.items() if key[0] == "shared"}
    for name in ("step", "exponential", "cosine"):
        assert gain["shared", 0.1, name]["high"] < gain["shared", 0.03, name]["low"] - 1
        assert gain["shared", 0.03, name]["high"] < gain["shared", 0.01, name]["mean"]
    assert gain["shared", 0.01, "exponential"]["low"] > 0  # there it only slows


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_begin_at_their_peak_and_only_restarts_climb(name):
    rates = [SCHEDULES[name](t, n=1050, lr=0.1) for t in range(1050)]
    climbs = [t for t in range(1, 1050) if rates[t] > rates[t - 1]]
    assert rates[0] == max(rates) == pytest.approx(0.1)
    assert climbs == ([150, 450] if name == "warm restarts" else [])


def test_a_fifth_of_the_training_labels_is_wrong_and_nothing_else():
    clean = digits((0, 1))
    noisy = with_wrong_labels(clean, (0, 1))
    changed = (clean.train[1] != noisy.train[1]).sum(dim=1).tolist()
    assert changed == [int(WRONG * clean.train[1].shape[1])] * 2
    assert torch.equal(clean.train[0], noisy.train[0])
    assert noisy.validation is clean.validation and noisy.test is clean.test
