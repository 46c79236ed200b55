"""Who may import whom, over every Python file, page cell and notebook cell."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"optlib", "book", "experiments", "exercises", "solutions", "grader", "tests"}

# room: (which of our rooms it may import, what else it may not)
TABLE = {
    "optlib": ({"optlib"}, set()),
    "book": ({"optlib"}, set()),
    "experiments": ({"optlib", "experiments"}, set()),
    "exercises": (set(), {"torch.optim"}),
    "solutions": (set(), {"torch.optim"}),
    "grader": ({"grader"}, set()),
    "tests": (OURS - {"tests"}, set()),
}
# Files with more, or less, than their room. The first pattern that matches counts.
EXCEPTIONS = [
    (r"grader/judge\w*\.py", {"grader", "optlib"}),
    (r"grader/judge/.*", {"grader", "optlib"}),
    (r"optlib/(backend|legal)\.py", set()),
]
ONLY_FIGURES = re.compile(r"optlib/figures\.py")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.M | re.S)
MAGIC = re.compile(r"^(\s*)[%!].*$", re.M)


def imports(code):
    """Yield (line, dotted name) of everything that `code` imports, at any depth."""
    for node in ast.walk(ast.parse(MAGIC.sub(r"\1pass", code))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "."
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def cells(path):
    """Return the code of a file, cell by cell."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [text]
    if path.suffix == ".md":
        options = re.compile(r"\A(---\n.*?\n---\n|(:[^\n]*\n)+)", re.S)
        return [options.sub("", cell) for cell in CELL.findall(text)]
    notebook = json.loads(text)
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def sources(root):
    """Yield (room, path) of every file that holds code, generated folders aside."""
    for room in TABLE:
        for path in sorted((root / room).rglob("*")):
            skip = any(part.startswith((".", "_build")) for part in path.relative_to(root).parts)
            if path.suffix in (".py", ".md", ".ipynb") and not skip:
                yield room, path


def violations(root):
    """Return one line for every import that the table forbids."""
    found = []
    for room, path in sources(root):
        name = path.relative_to(root).as_posix()
        allowed, forbidden = TABLE[room]
        for pattern, instead in EXCEPTIONS:
            if re.fullmatch(pattern, name):
                allowed = instead
        for cell in cells(path):
            found += [
                f"{name}: {room} may not import {imported}"
                for _, imported in imports(cell)
                if not _is_allowed(name, imported, allowed, forbidden)
            ]
    return found


def _is_allowed(name, imported, allowed, forbidden):
    top = imported.split(".")[0]
    if any(f"{imported}.".startswith(f"{word}.") for word in forbidden):
        return False
    if top == "matplotlib" and name.startswith("optlib/"):
        return bool(ONLY_FIGURES.fullmatch(name))
    if top == "optlib" and name.startswith("optlib/"):
        return top in allowed and imported.split(".")[1:2] != ["figures"]
    if top == "" or "._" in imported.replace(".__", "."):
        return top not in OURS | {""}
    return top not in OURS or top in allowed


def test_nobody_enters_a_room_that_is_not_theirs():
    assert violations(ROOT) == []


def test_every_room_is_known():
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert packages <= TABLE.keys()


PLANTED = [
    ("optlib/a.py", "import tests.a", True),
    ("optlib/a.py", "def f():\n    from grader import judge", True),
    ("optlib/a.py", "import matplotlib.pyplot as plt", True),
    ("optlib/figures.py", "import matplotlib.pyplot as plt", False),
    ("optlib/a.py", "from optlib import figures", True),
    ("optlib/a.py", "from . import engine", True),
    ("optlib/a.py", "from optlib.engine import Optimizer", False),
    ("optlib/backend.py", "from optlib.engine import Optimizer", True),
    ("book/p/a.md", "# A\n\n```{code-cell} ipython3\nfrom grader import judge\n```\n", True),
    ("book/p/a.md", "# A\n\n```{code-cell}\n:tags: [x]\n\nimport tests\n```\n", True),
    ("book/p/a.md", "# A\n\n```{code-cell}\n%pip install x\nimport optlib\n```\n", False),
    ("book/p/a.md", "# A\n\n```python\nimport tests\n```\n", False),
    ("book/p/a.md", "```{code-cell}\nfrom optlib.engine import _plain\n```\n", True),
    ("book/_build/a.py", "import tests", False),
    ("exercises/o/a.ipynb", "from optlib.optimizers.adam import adam", True),
    ("exercises/o/a.ipynb", "from torch.optim import Adam", True),
    ("exercises/o/a.ipynb", "from torch import optim", True),
    ("exercises/o/a.ipynb", "import torch.optim as o", True),
    ("exercises/o/a.ipynb", "import torch.optim.adam", True),
    ("exercises/o/a.ipynb", "import torch\nimport numpy", False),
    ("solutions/o/a.py", "import optlib", True),
    ("solutions/o/a.py", "from grader import probe", True),
    ("solutions/o/a.ipynb", "from torch.optim import SGD", True),
    ("grader/sandbox.py", "import optlib", True),
    ("grader/judge.py", "import optlib\nfrom grader import report", False),
    ("experiments/a.py", "from optlib.engine import Optimizer", False),
    ("experiments/a.py", "import book", True),
    ("tests/a.py", "import tests.b", True),
    ("tests/a.py", "import optlib, grader", False),
]


@pytest.mark.parametrize("name, code, bad", PLANTED)
def test_a_planted_import_is_found(tmp_path, name, code, bad):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    if path.suffix == ".ipynb":
        code = json.dumps({"cells": [{"cell_type": "code", "source": [code]}]})
    path.write_text(code)
    found = violations(tmp_path)
    assert bool(found) == bad, found
    assert all(line.startswith(f"{name}: ") for line in found)


def test_empty_folders_are_no_fault(tmp_path):
    for room in TABLE:
        (tmp_path / room).mkdir()
    assert violations(tmp_path) == []
