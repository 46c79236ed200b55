"""The committed benchmark is of the code as it stands and has what its page shows."""

import json

import numpy as np
import pytest

from experiments import performance


@pytest.fixture(scope="module")
def result():
    return json.loads(performance.RESULT.read_text())


def test_the_benchmark_is_of_this_code(result):
    assert result["code"] == performance.code(), "a rule or an engine has changed; make bench"
    assert not result["settings"]["quick"]


def test_every_race_is_there(result):
    found = {(r["threads"], r["set"], r["optimizer"]) for r in result["rows"]}
    threads = {t for t, _, _ in found}
    assert 1 in threads
    assert found == {
        (t, kind, name)
        for t in threads
        for kind in performance.SETS
        for name in performance.OPTIMIZERS
    }


def test_a_ratio_comes_with_its_spread(result):
    for row in result["rows"]:
        assert row["rounds"] >= performance.FEWEST
        for q in (row["ms"], *row["to"].values()):
            assert 0 < q["low"] <= q["median"] <= q["high"]


def test_the_floors_are_what_the_rules_read_and_write():
    for name, (ours, *_, moved) in performance.OPTIMIZERS.items():
        once = 4 * (3 + 2 * len(ours.state_names))
        again = {"LARS": 8, "LAMB": 12}.get(name, 0)
        assert moved == once + again


def test_the_sets_are_the_ones_named():
    count = {k: sum(int(np.prod(s)) for s in shapes) for k, shapes in performance.SETS.items()}
    assert 24e6 < count["transformer"] < 26e6 and count["one of 1 M"] == 2**20
    assert [len(performance.SETS[k]) for k in ("400 small", "1,000 tiny")] == [400, 1000]


def test_a_race_has_all_competitors_on_equal_weights():
    entered = performance.competitors("AdamW", [(3, 4), (5,)])
    assert set(entered) == {"eager", "compiled", "loop", "foreach", "fused"}
    assert set(performance.competitors("LAMB", [(3,)])) == {"eager", "compiled", "compiled Adam"}
    assert {o.param_groups[0]["lr"] for o in entered.values()} == {performance.LR}


def test_the_command_helps(capsys):
    with pytest.raises(SystemExit):
        performance.arguments(["--help"])
    assert "--quick" in capsys.readouterr().out
