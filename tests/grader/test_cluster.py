"""The same class on a Dask cluster: a real scheduler and two workers, one of which is killed."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from grader import gradebook, pool
from grader.course import CourseError
from grader.exercise import ROOT, load

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed.*"),
]
PIECES = [path.stem for path in sorted((ROOT / "exercises" / "optimizers").glob("*.ipynb"))]
STUDENTS = [f"s{number}" for number in range(4)]


def dask(folder, *command):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = [sys.executable, "-m", "dask", *command, "--no-dashboard"]
    return subprocess.Popen(words, cwd=folder, start_new_session=True, **quiet)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler, and its two workers as processes."""
    folder = tmp_path_factory.mktemp("dask")
    about = folder / "scheduler.json"
    processes = [dask(folder, "scheduler", "--host", "127.0.0.1", "--port", "0",
                      "--scheduler-file", str(about))]  # fmt: skip
    try:
        processes += [
            dask(folder, "worker", "--scheduler-file", str(about), "--host", "127.0.0.1",
                 "--nthreads", "1", "--no-nanny", "--local-directory", str(folder / f"w{number}"))
            for number in range(2)
        ]  # fmt: skip
        yield _address(about), processes[1:]
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _address(about):
    import distributed

    ends = time.monotonic() + 60
    while not about.exists() and time.monotonic() < ends:
        time.sleep(0.1)
    address = json.loads(about.read_text())["address"]
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    return address


@pytest.fixture
def course(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    for piece in PIECES:
        notebook = json.loads((ROOT / "exercises" / "optimizers" / f"{piece}.ipynb").read_text())
        for cell in notebook["cells"]:
            cell["source"] = load("optimizers", piece).solves.get(cell["id"]) or cell["source"]
        for student in STUDENTS:
            place = tmp_path / "submitted" / student / "optimizers"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{piece}.ipynb").write_text(json.dumps(notebook))
    return tmp_path


def graded(course):
    if not (course / "gradebook.db").exists():
        return []
    try:
        return gradebook.outcomes(f"sqlite:///{course}/gradebook.db", "optimizers")
    except Exception:  # it is being made
        return []


def test_a_class_is_graded_though_a_worker_is_killed(cluster, course):
    address, workers = cluster
    run = subprocess.Popen(
        [sys.executable, "-m", "grader", "grade", "optimizers", "--cluster", address],
        cwd=course, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    while not graded(course) and run.poll() is None:
        time.sleep(0.05)
    os.killpg(workers[0].pid, signal.SIGKILL)
    before = len(graded(course))
    out, _ = run.communicate(timeout=240)
    assert run.returncode == 0, out
    assert before < len(STUDENTS) * len(PIECES)
    assert f"{len(STUDENTS) * len(PIECES)} notebooks graded" in out
    found = graded(course)
    assert [(o["student"], o["notebook"]) for o in found] == [
        (student, piece) for student in STUDENTS for piece in PIECES
    ]
    assert all(v["earned"] == v["points"] for o in found for v in o["verdicts"])
    with sqlite3.connect(course / "gradebook.db") as book:
        rows = book.execute("select count(*), count(auto_score) from grade").fetchone()
    cells = sum(_cells(piece) for piece in PIECES) * len(STUDENTS)
    assert rows == (cells, cells)
    for student in STUDENTS:
        assert len(list((course / "feedback" / student / "optimizers").glob("*.html"))) == 3


def _cells(piece):
    notebook = json.loads((ROOT / "exercises" / "optimizers" / f"{piece}.ipynb").read_text())
    return sum(c["metadata"].get("nbgrader", {}).get("grade", False) for c in notebook["cells"])


def test_workers_with_another_version_are_refused(cluster):
    with pytest.raises(CourseError, match="has another version of the exercises"):
        pool.Cluster(cluster[0], settings("another"), "optimizers")


def settings(version):
    return pool.Settings(None, False, None, version)


def test_an_address_where_nobody_answers_is_told(monkeypatch):
    monkeypatch.setattr(pool, "CONNECT", 1)
    with pytest.raises(CourseError, match="no Dask scheduler at tcp://127.0.0.1:9"):
        pool.Cluster("tcp://127.0.0.1:9", settings("any"), "optimizers")
