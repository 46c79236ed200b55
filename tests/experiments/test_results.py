"""Every committed result is of the code as it stands, and says what the lesson's numbers are."""

import json
import shutil

import pytest

from experiments.measure import experiments, result_path
from experiments.provenance import ROOT, code_hash


def faults(root):
    """Return a line for every experiment whose default result is missing or of other code."""
    found = []
    for name in experiments(root):
        for full in (False, True):
            path = result_path(name, full, root)
            if not path.exists():
                found += [] if full else [f"{name}: no result; make measure"]
            elif json.loads(path.read_text()).get("code") != code_hash(name, root):
                found.append(f"{path.name}: its code has changed since; make measure")
    return found


def test_no_result_is_stale():
    assert faults(ROOT) == []


def test_no_result_is_an_orphan():
    files = {p.name.split(".")[0] for p in (ROOT / "experiments" / "results").glob("*.json")}
    assert all((ROOT / "experiments" / f"{name}.py").exists() for name in files)


@pytest.fixture
def copy(tmp_path):
    for room in ("optlib", "experiments"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_a_planted_change_is_found_and_named(copy):
    before = set(faults(copy))
    rule = copy / "optlib" / "optimizers" / "momentum.py"
    rule.write_text(rule.read_text().replace("v = beta * v + lr * g\n    w = w - v", "w = w - g"))
    new = set(faults(copy)) - before
    assert "ravine.json: its code has changed since; make measure" in new
    assert not any(line.startswith(("lasso", "accumulation", "noise_floor")) for line in new)


def test_a_missing_result_is_named(copy):
    result_path("lasso", root=copy).unlink()
    assert "lasso: no result; make measure" in faults(copy)


def rows(name):
    return json.loads(result_path(name).read_text())["rows"]


def test_ravine_has_the_reference_values():
    table = rows("ravine")
    steps = {(r["kappa"], r["method"]): r["steps"] for r in table if r["what"] == "ravine"}
    expected = {10: (69, 27, 43), 100: (691, 93, 155), 1000: (6908, 315, 508),
                10_000: (69078, 1056, 1624)}  # fmt: skip
    methods = ("gradient descent", "heavy ball", "nesterov")
    assert steps == {(k, m): n for k, of in expected.items() for m, n in zip(methods, of)}
    cycles = [r for r in table if r["what"] == "cycle"]
    assert cycles[0]["heavy_ball"] == pytest.approx([0, 0, 0])
    for row in cycles[1:]:
        assert row["heavy_ball"] == pytest.approx([-2208 / 1225, 792 / 1225, 2592 / 1225])
        assert row["gradient_descent"] == pytest.approx(0)
    (drop,) = (r for r in table if r["what"] == "drop of the rate")
    assert (drop["lesson"], drop["torch"]) == pytest.approx((0.91, 0.10))
    after = [r["after_2000_steps"] for r in table if r["what"] == "divergence"]
    assert after[1] < 1e-8 and after[2] == 1 and after[3] > 1e8


def test_lasso_has_the_reference_values():
    nonzero = {(r["alpha"], r["method"]): r["nonzero"] for r in rows("lasso")}
    for alpha, count in zip((0.01, 0.1, 0.5, 1.0, 2.0), (10, 7, 4, 3, 2)):
        assert nonzero[alpha, "sklearn"] == nonzero[alpha, "proximal"] == count
        assert nonzero[alpha, "subgradient"] == nonzero[alpha, "ridge"] == 10
    (one,) = (r for r in rows("lasso") if (r["alpha"], r["method"]) == (1.0, "proximal"))
    kept = {name: w for name, w in one["weights"].items() if w}
    assert kept == pytest.approx({"bmi": 367.702, "bp": 6.310, "s5": 307.602}, abs=2e-3)


def test_accumulation_has_the_reference_values():
    texts, *arms = rows("accumulation")
    assert (texts["mean_of_means"], texts["token_mean"]) == pytest.approx((3, 2.0198020))
    errors = {r["what"]: r["relative_error"] for r in arms}
    assert errors["equal pieces"]["high"] < 1e-15 > errors["unequal pieces, weighted"]["high"]
    assert errors["unequal pieces, mean of means"]["low"] > 0.1
    assert errors["equal pieces, batch norm"]["low"] > 0.01


def test_the_noise_floor_is_where_theory_puts_it():
    *finite, last = rows("noise_floor")
    for row in finite:
        assert row["at_step_1000"]["mean"] == pytest.approx(row["theory"], rel=0.02)
    assert last["theory"] is None  # infinite: it grows by lr**2 / B a step
    assert last["at_step_500"]["mean"] == pytest.approx(10, rel=0.04)
    assert last["at_step_1000"]["mean"] == pytest.approx(20, rel=0.04)


def test_double_well_escapes_are_not_lower_losses():
    table = {(r["what"], r["arm"]): r for r in rows("double_well")}
    assert table["schedule", "constant"]["escaped_more"]["low"] > 0.1
    assert table["schedule", "constant"]["final_loss_above"]["low"] > 0
    assert not table["schedule", "warm restarts"]["escaped_more"]["resolved"]
    assert table["schedule", "linear"]["final_loss_above"]["low"] > 0
    assert table["momentum", 0.95]["escaped_more"]["high"] < 0
    assert len(table["momentum", 0.95]["escaped"]["values"]) >= 5
    crossed = [table["roll", beta]["crossed"] for beta in (0.0, 0.5, 0.8, 0.9, 0.95)]
    assert crossed == [False, False, False, True, True]


def test_rare_words_have_the_reference_values():
    zipf = {(r["method"], r["steps"]): r for r in rows("rare_words") if r["what"] == "zipf"}
    expected = {200: (0.0258015, 0.782471, 3.061250), 2000: (0.00224811, 0.0260468, 0.230653),
                20_000: (0.000220989, 0.00225125, 0.0120563)}  # fmt: skip
    for steps, losses in expected.items():
        row = zipf["gradient descent", steps]
        found = [row[f"class_{k}"] for k in (1, 10, 50)]
        assert found == pytest.approx(losses, rel=2e-5)
    sign = zipf["sign descent", 200]
    assert [sign[f"class_{k}"] for k in (1, 10, 50)] == pytest.approx([1.0099652e-7] * 3, rel=1e-6)
    text = {r["method"]: r for r in rows("rare_words") if r["what"] == "text"}
    assert all(row["accepted"] for row in text.values())
    assert len({row["trials"] for row in text.values()}) == 1
    slow = text["gradient descent"]["train_loss_rare_200"]
    assert max(text[m]["train_loss_rare_200"] for m in ("adam", "sign descent")) < slow - 0.3


def test_the_race_was_fair_and_says_what_it_settled():
    table = {(r["task"], r["optimizer"]): r for r in rows("optimizer_race")}
    tasks = {task for task, _ in table}
    assert len(table) == 4 * len(tasks) >= 16
    for task in tasks:
        arms = [table[task, name] for name in ("sgd", "momentum", "rmsprop", "adam")]
        for kind in ("trials_fast", "trials_good"):
            assert len({arm[kind] for arm in arms}) == 1  # one budget
        assert all(len(arm["steps"]["values"]) >= 5 for arm in arms)

    # Clear on text; SGD at .001 arrives nowhere.
    others = ("sgd", "momentum", "rmsprop")
    assert all(table["next word, bigram", n]["test_loss_above_adam"]["low"] > 0.1 for n in others)
    assert {table[task, "sgd"]["steps_at_one_thousandth"]["low"] for task in tasks} == {800}
    # Claim C18 names the tasks of the lowest and of the highest good rate.
    for name, ends in (("adam", ("breast cancer, mlp", "next word, bigram")),
                       ("sgd", ("digits, mlp", "next word, bigram"))):  # fmt: skip
        good = {task: table[task, name]["lr_good"] for task in tasks}
        assert [good[task] for task in ends] == [min(good.values()), max(good.values())]
