"""Damaged notebooks by the hundred: each gets marks or a reason, and the same ones again.

FUZZ=100000 asks for more of them; they are the same for the same number.
"""

import copy
import json
import os
import random
import shutil
import sys

import nbformat
import pytest

from grader import run, sandbox
from grader.exercise import ROOT, load

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("bwrap"), reason="no bubblewrap on this machine"
)
COUNT = int(os.environ.get("FUZZ", 120))
ODD = [None, True, 0, -1, 1e400, 10**30, "", "\x00", "\ud800", "<script>alert(1)</script>", [], {},
       [None], {"x": {}}, "sgd_step", ["a", 1], "x" * 10_000, "a\u2028b", "\r\n"]  # fmt: skip
SOURCES = [
    "1 / 0",
    "def sgd_step(w, g, lr):\n    return w",
    "%%bash\nls",
    "!ls",
    "?",
    "%matplotlib",
    "await x",
    "\x00",
    "x = (",
    "# " + "y" * 5000,
    "from __future__ import annotations",
    "%reset -f",
    "get_ipython().reset()",
    "del sgd_step",
    "raise SystemExit",
    "print('\ud800')",
    "_ = __",
    "import os; os._exit(3)",
    "lambda: (yield)",
]


def solved():
    notebook = json.loads((ROOT / "exercises" / "optimizers" / "sgd.ipynb").read_text())
    answers = load("optimizers", "sgd").solves
    for cell in notebook["cells"]:
        cell["source"] = answers.get(cell["id"], cell["source"])
    # The last cell draws a picture, which takes longer than all the others together.
    notebook["cells"] = [c for c in notebook["cells"] if "plt.show" not in "".join(c["source"])]
    return notebook


def places(value, path=()):
    """Every place in a JSON value, as the keys that lead to it."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def changed(notebook, rng):
    """One change to a notebook's structure."""
    *path, last = rng.choice([p for p in places(notebook) if p])
    parent = notebook
    for key in path:
        parent = parent[key]
    what = rng.choice(["odd", "odd", "gone", "twice", "moved", "source", "deep"])
    if what == "odd":
        parent[last] = copy.deepcopy(rng.choice(ODD))
    elif what == "gone":
        del parent[last]
    elif what == "twice" and isinstance(parent, list):
        parent.insert(last, copy.deepcopy(parent[last]))
    elif what == "moved" and isinstance(parent, list):
        rng.shuffle(parent)
    elif what == "source" and isinstance(notebook.get("cells"), list) and notebook["cells"]:
        cell = rng.choice(notebook["cells"])
        if isinstance(cell, dict):
            cell["source"] = rng.choice(SOURCES)
    elif what == "deep":
        for _ in range(50):
            parent[last] = [parent[last]]
    return notebook


def damaged(number):
    """The bytes of one damaged notebook."""
    rng, notebook = random.Random(number), solved()
    for _ in range(rng.choice([1, 1, 2, 3, 8, 30])):
        if isinstance(notebook, dict) and len(notebook) > 0:
            notebook = changed(notebook, rng)
    raw = json.dumps(notebook).encode()
    if rng.random() < 0.25:
        raw = raw[: rng.randrange(len(raw))]
    if rng.random() < 0.25:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.randbytes(rng.choice([1, 4, 100])) + raw[at:]
    return raw


@pytest.fixture(scope="module")
def zygote():
    with sandbox.Zygote() as zygote:
        yield zygote


@pytest.mark.parametrize("part", range(8))
def test_every_damaged_notebook_gets_marks_or_a_reason_twice_the_same(part, zygote, tmp_path):
    folder = tmp_path / "student" / "optimizers"
    folder.mkdir(parents=True)
    for number in range(part, COUNT, 8):
        (folder / "sgd.ipynb").write_bytes(damaged(number))
        first, second = (run.graded(folder / "sgd.ipynb", "optimizers", "sgd", zygote)
                         for _ in range(2))  # fmt: skip
        assert first.verdicts == second.verdicts, number
        text = nbformat.writes(first.notebook)
        assert text.encode() == nbformat.writes(second.notebook).encode(), number
        nbformat.validate(first.notebook)
        assert {v.points for v in first.verdicts.values()} == {2, 3}
        for verdict in first.verdicts.values():
            assert 0 <= verdict.earned <= verdict.points and verdict.sentence, number
        assert first.notes or not first.unreadable
