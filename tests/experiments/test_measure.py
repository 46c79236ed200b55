"""make measure: what is current is skipped, writes are atomic, unknown names are answered."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from experiments import measure
from experiments.provenance import ROOT


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "experiments.measure", *words],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "error"},
    )  # fmt: skip


def test_help_and_an_unknown_name():
    assert "--only" in command("--help").stdout
    unknown = command("--only", "gravity")
    assert unknown.returncode == 2 and "no experiment is called gravity" in unknown.stderr
    assert "ravine" in unknown.stderr and "Traceback" not in unknown.stderr


def test_experiments_are_the_files_that_run():
    names = measure.experiments()
    assert {"ravine", "lasso"} <= set(names)
    assert not {"protocol", "measure", "provenance"} & set(names)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results go to a folder of the test's own."""
    place = measure.result_path

    def there(name, full=False):
        return place(name, full, tmp_path)

    monkeypatch.setattr(measure, "result_path", there)
    return there


def test_a_current_result_is_skipped_and_a_stale_one_is_not(results, capsys):
    assert not measure.is_current("accumulation")
    measure.measure("accumulation")
    assert measure.is_current("accumulation") and not measure.is_current("accumulation", full=True)
    stamp = results("accumulation").stat().st_mtime_ns
    assert measure.main(["--only", "accumulation"]) == 0
    assert capsys.readouterr().out == "accumulation: current\n"
    assert results("accumulation").stat().st_mtime_ns == stamp

    good = json.loads(results("accumulation").read_text())
    for change in ({"code": "0"}, {"settings": {}}, {"versions": {}}):
        measure.write(results("accumulation"), good | change)
        assert not measure.is_current("accumulation")
    results("accumulation").write_text("{")  # half a file
    assert not measure.is_current("accumulation")


def test_a_result_says_where_it_comes_from(results):
    measure.measure("accumulation")
    result = json.loads(results("accumulation").read_text())
    assert result.keys() == {
        "experiment", "code", "settings", "versions", "processor", "date", "duration_s", "rows",
    }  # fmt: skip
    assert result["settings"] == {"full": False, "seeds": list(range(10))}
    assert len(result["rows"][1]["relative_error"]["values"]) == 10


def test_code_that_changes_while_it_runs_gives_no_result(results, monkeypatch):
    hashes = iter(["before", "after"])
    monkeypatch.setattr(measure, "code_hash", lambda name: next(hashes))
    with pytest.raises(RuntimeError, match="changed while it ran"):
        measure.measure("accumulation")
    assert not results("accumulation").exists()


def test_a_failed_write_leaves_the_old_result(tmp_path, monkeypatch):
    path = tmp_path / "results" / "a.json"
    measure.write(path, {"rows": [1]})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        measure.write(path, {"rows": [2]})
    assert json.loads(path.read_text()) == {"rows": [1]}


def test_plain():
    rows = [{"a": np.float64(1.5), 2: (np.int64(3), np.arange(2)), "b": math.inf, "c": True}]
    assert measure.plain(rows) == [{"a": 1.5, "2": [3, [0, 1]], "b": None, "c": True}]
