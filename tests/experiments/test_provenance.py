"""The hash of an experiment follows what it uses, line by line, and nothing else."""

import pytest

from experiments.measure import experiments
from experiments.provenance import ROOT, code_hash, dependencies, processor, versions

FILES = {
    "optlib/__init__.py": '"""Rules."""\n',
    "optlib/engine.py": "LIMIT = 3\n\n\nclass Optimizer:\n    limit = LIMIT\n",
    "optlib/rules.py": (
        '"""Rules."""\nfrom optlib.engine import Optimizer\nfrom optlib.backend import sign\n\n\n'
        'def used(w):\n    """Doc."""\n    # why\n    return helper(w)\n\n\n'
        "def helper(w):\n    return w * SCALE\n\n\n"
        "def other(w):\n    return sign(w)\n\n\n"
        "SCALE = 2\n\n\nclass Used(Optimizer):\n    rule = other\n"
    ),
    "optlib/backend.py": "try:\n    import torch\nexcept ImportError:\n    torch = None\n\n\n"
    "def sign(x):\n    return x > 0\n",
    "experiments/__init__.py": "",
    "experiments/protocol.py": "def spread(x):\n    return x\n\n\ndef tune(x):\n    return x\n",
    "experiments/by_rule.py": (
        "from experiments.protocol import spread\nfrom optlib.rules import used\n\n\n"
        "def run(seeds, full=False):\n    return spread(used(1))\n"
    ),
    "experiments/pictured.py": (
        "from optlib.rules import other\n\n\ndef run(seeds, full=False):\n    return []\n\n\n"
        "def picture(rows):\n    return other(rows)\n"
    ),
    "experiments/by_module.py": (
        "from optlib import rules\n\n\ndef run(seeds, full=False):\n    return rules.used(1)\n"
    ),
    "experiments/by_class.py": (
        "def run(seeds, full=False):\n    from optlib import rules\n\n    return rules.Used\n"
    ),
}


@pytest.fixture
def house(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def change(house, name, old, new):
    text = (house / name).read_text()
    assert text.count(old) == 1
    (house / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "name, old, new, stale",
    [
        ("optlib/rules.py", "return helper(w)", "return helper(w) + 1", {"by_rule", "by_class"}),
        ("optlib/rules.py", "w * SCALE", "w / SCALE", {"by_rule", "by_class"}),
        ("optlib/rules.py", "SCALE = 2", "SCALE = 3", {"by_rule", "by_class"}),
        ("optlib/rules.py", "return sign(w)", "return -sign(w)", {"by_class"}),
        ("optlib/backend.py", "x > 0", "x >= 0", {"by_class"}),
        ("optlib/backend.py", "torch = None", "torch = 0", {"by_class"}),  # runs on import
        ("optlib/engine.py", "LIMIT = 3", "LIMIT = 4", {"by_class"}),
        ("experiments/protocol.py", "def spread(x):\n    return x", "def spread(x):\n    return -x",
         {"by_rule"}),
        ("experiments/protocol.py", "def tune(x):\n    return x", "def tune(x):\n    return -x",
         set()),
        ("experiments/by_rule.py", "used(1)", "used(2)", {"by_rule"}),
        ("optlib/rules.py", "    # why\n", "    # because\n\n", set()),
        ("optlib/rules.py", '"""Doc."""', '"""Other words."""', set()),
    ],
)  # fmt: skip
def test_a_changed_line_turns_exactly_its_dependents_stale(house, name, old, new, stale):
    names = ("by_rule", "by_class")
    before = {n: code_hash(n, house) for n in names}
    change(house, name, old, new)
    assert {n for n in names if code_hash(n, house) != before[n]} == stale


def test_of_a_module_only_what_is_named_counts(house):
    before = code_hash("by_module", house)
    change(house, "optlib/rules.py", "return sign(w)", "return -sign(w)")
    assert code_hash("by_module", house) == before
    change(house, "optlib/rules.py", "w * SCALE", "w / SCALE")
    after = code_hash("by_module", house)
    assert after != before
    change(house, "experiments/by_module.py", "rules.used(1)", "list(map(vars, [rules]))")
    change(house, "optlib/rules.py", "return -sign(w)", "return sign(w)")
    lines = dependencies("by_module", house)["optlib/rules.py"].values()
    assert any("return sign(w)" in line for line in lines)  # the module itself: all of it


def test_a_picture_is_not_part_of_the_numbers(house):
    before = code_hash("pictured", house)
    change(house, "optlib/rules.py", "return sign(w)", "return -sign(w)")
    change(house, "experiments/pictured.py", "other(rows)", "other(other(rows))")
    assert code_hash("pictured", house) == before
    change(house, "experiments/pictured.py", "return []", "return [1]")
    assert code_hash("pictured", house) != before


def test_a_moved_function_is_another_file(house):
    before = code_hash("by_rule", house)
    change(house, "optlib/rules.py", "def helper", "UNUSED = 1\n\n\ndef helper")
    assert code_hash("by_rule", house) == before


def test_the_real_rules_are_found():
    lines = dependencies("ravine")
    rule = "\n".join(lines["optlib/optimizers/momentum.py"].values())
    assert "v = beta * v + lr * g" in rule and "class" not in rule
    assert "optlib/engine.py" not in lines and "optlib/optimizers/sgd.py" in lines
    assert "optlib/backend.py" in dependencies("lasso")


def test_a_change_in_the_real_momentum_touches_only_its_dependents(tmp_path):
    for room in ("optlib", "experiments"):
        for path in (ROOT / room).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    names = ("ravine", "lasso", "noise_floor")
    assert {n: code_hash(n, tmp_path) for n in names} == {n: code_hash(n) for n in names}
    path = tmp_path / "optlib/optimizers/momentum.py"
    path.write_text(path.read_text().replace("w = w - v\n", "w = w - 2 * v\n"))
    assert [n for n in names if code_hash(n, tmp_path) != code_hash(n)] == ["ravine"]


def test_the_compiled_engine_is_no_part_of_an_eager_number():
    files = dependencies("optimizer_race")
    assert "optlib/engine.py" in files and "optlib/compiled.py" not in files
    for name in experiments():
        assert "impl=" not in (ROOT / "experiments" / f"{name}.py").read_text(), name


def test_versions_and_processor_are_words():
    assert versions().keys() == {"python", "numpy", "torch", "scikit-learn"}
    assert processor()
