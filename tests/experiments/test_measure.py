"""make measure: what is current is skipped, writes are atomic, unknown names are answered."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

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


@pytest.fixture
def small_house(tmp_path):
    """The same machinery with experiments that take no time, fail, or take too long."""
    room = tmp_path / "experiments"
    room.mkdir()
    for name in ("__init__", "measure", "provenance"):
        shutil.copy(ROOT / "experiments" / f"{name}.py", room)
    header = "SEEDS = (5, 20)\n\n\ndef run(seeds, full=False):\n    "
    (room / "quick.py").write_text(header + "return [{'seeds': len(seeds)}]\n")
    (room / "broken.py").write_text(header + "raise ValueError('no such rate')\n")
    (room / "parted.py").write_text(
        "PARTS = ('b', 'a')\n\n\ndef run(seeds, full=False, part=None):\n"
        "    yield {'part': part, 'seeds': len(seeds)}\n"
    )
    (room / "slow.py").write_text("import time\n" + header + "time.sleep(600)\n")
    return tmp_path


def start(house, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.measure", *words],
        cwd=house, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def test_a_failure_is_told_and_costs_the_others_nothing(small_house):
    words = ("--only", "broken", "--only", "quick", "--jobs", "2")
    run = start(small_house, *words)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1 and "broken: ValueError: no such rate" in err
    results = small_house / "experiments" / "results"
    assert [p.name for p in results.iterdir()] == ["quick.json"]
    out, _ = start(small_house, "--only", "quick").communicate(timeout=60)
    assert out == "quick: current\n"

    run = start(small_house, "--only", "quick", "--full")
    run.communicate(timeout=60)
    assert json.loads((results / "quick.full.json").read_text())["rows"] == [{"seeds": 20}]
    assert json.loads((results / "quick.json").read_text())["rows"] == [{"seeds": 5}]


def test_parts_are_run_apart_and_written_together(small_house):
    out, err = start(small_house, "--only", "parted").communicate(timeout=60)
    assert out.strip().startswith("parted: ") and "2/2" in err
    result = json.loads((small_house / "experiments/results/parted.json").read_text())
    assert result["rows"] == [{"part": "b", "seeds": 5}, {"part": "a", "seeds": 5}]


def test_a_killed_run_loses_only_what_was_in_progress(small_house):
    run = start(small_house, "--only", "quick", "--only", "slow", "--jobs", "2")
    result = small_house / "experiments" / "results" / "quick.json"
    deadline = time.monotonic() + 60
    while not result.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)  # its own processes: the session it was started in
    run.communicate(timeout=60)
    assert [p.name for p in result.parent.iterdir()] == ["quick.json"]
    assert json.loads(result.read_text())["rows"] == [{"seeds": 5}]
    assert start(small_house, "--only", "quick").communicate(timeout=60)[0] == "quick: current\n"
