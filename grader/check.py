"""Run a notebook's visible checks in the jail, and say in a line each what holds.

For students: in a terminal `python -m grader check adam.ipynb`; in a notebook `%load_ext grader`
once, and then `%check` whenever you like, on what was run in it so far, saved or not.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from grader import refusals, sandbox
from grader.exercise import ROOT
from grader.run import Student
from grader.submission import Unreadable, defined, opened, repair

HOLDS, FAILS, OPEN = "holds", "FAILS", "open"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
OURS = re.compile(r"^\s*%(load_ext\s+grader|reload_ext\s+grader|check)\b")


class NoExercise(ValueError):
    """It cannot be told which exercise a notebook is; the message says what to do."""


@dataclass(frozen=True)
class Found:
    """What one visible check found."""

    state: str
    function: str
    claim: str
    why: str = ""

    def __str__(self):
        line = f"{self.state:5}  {self.function}: {self.claim}"
        return f"{line}\n       {self.why}" if self.why else line


def releases():
    """Every exercise as it was released: path -> notebook."""
    paths = sorted((ROOT / "exercises").glob("*/*.ipynb"))
    return {path: nbformat.read(path, as_version=4) for path in paths}


def wanted(release):
    """The functions that an exercise asks for."""
    return {n for c in release.cells if _is(c, "solution") and c.cell_type == "code"
            for n in defined(c)}  # fmt: skip


def release_of(cells, name=None):
    """The exercise whose functions these cells define; `name` decides where there are several."""
    made = {n for c in cells if c.cell_type == "code" for n in defined(c)}
    score = {
        path: (len(wanted(release) & made), path.stem == name)
        for path, release in releases().items()
    }
    best = max(score, key=score.get, default=None)
    if best is None or not any(score[best]):
        raise NoExercise("No function of an exercise is defined there.")
    return releases()[best]


def checked(cells, release, zygote):
    """Run cells, and after each answer its visible checks; one `Found` per check."""
    if found := refusals.refused_in(cells):
        yield Found(FAILS, "notebook", f"cell {found[1]} uses {found[0]}, which is refused")
    repaired = repair(nbformat.v4.new_notebook(cells=cells), release, notes=[])
    sources = [cell.source for cell in repaired.cells]
    with zygote, Student(zygote.knowing(sources), wanted(release)) as student:
        for cell in repaired.cells:
            if cell.cell_type != "code" or _is(cell, "grade"):
                continue
            student.run(cell)
            if _is(cell, "locked"):
                yield _found(cell, wanted(release))


def _is(cell, flag):
    return bool(cell.metadata.get("nbgrader", {}).get(flag))


def _found(cell, functions):
    name = cell.metadata.nbgrader.grade_id
    function = max((f for f in functions if name.startswith(f"{f}_")), key=len, default=name)
    claim = name.removeprefix(f"{function}_").replace("_", " ")
    errors = [o for o in cell.outputs if o.output_type == "error"]
    if not errors:
        return Found(HOLDS, function, claim)
    last = errors[-1]
    if last.ename == "NotImplementedError":
        return Found(OPEN, function, claim, "not written yet")
    said = ANSI.sub("", last.evalue).strip().partition("\n")[0]
    why = said if last.ename in ("AssertionError", "Stopped") and said else f"{last.ename}: {said}"
    return Found(FAILS, function, claim, why)


def tell(cells, name=None, only=None):
    """Print what holds; returns the exit status."""
    try:
        release = release_of(cells, name)
    except NoExercise as error:
        print(f"{error} Run the cells with your answers first.")
        return 2
    zygote = sandbox.ready(unsafe=True)
    if not zygote.jailed:
        print("(There is no jail on this machine: your code runs as it does in your notebook.)")
    counts = dict.fromkeys((HOLDS, FAILS, OPEN), 0)
    for found in checked(cells, release, zygote):
        if only in (None, "", found.function):
            counts[found.state] += 1
            print(found, flush=True)
    if not any(counts.values()):
        print(f"There is no check of {only!r}. There are: {', '.join(sorted(wanted(release)))}.")
        return 2
    print(
        f"\n{counts[HOLDS]} of {sum(counts.values())} checks hold. When you hand in, more is asked."
    )
    return 0 if counts[HOLDS] == sum(counts.values()) else 1


def main(path):
    """`python -m grader check PATH`."""
    path = Path(path)
    if not path.exists():
        print(f"There is no file {path}.", file=sys.stderr)
        return 2
    try:
        notebook, _ = opened(path)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    return tell(notebook.cells, path.stem)


def magic(shell, line):
    """`%check [FUNCTION]`: on the cells that were run in this notebook, in their order."""
    ran = dict.fromkeys(s for s in reversed(shell.user_ns["In"]) if s and not OURS.match(s))
    tell([nbformat.v4.new_code_cell(s) for s in reversed(ran)], only=line.strip())
