"""`nbgrader autograde` and `nbgrader generate_feedback` as a teacher runs them, on a hard class.

The class is shared out over four courses that are graded side by side, once for all tests.
"""

import copy
import fcntl
import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

from grader.exercise import ROOT, load

pytestmark = [
    # SQLAlchemy warns of the tables' own foreign keys, and nbgrader leaves connections open.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NBGRADER = Path(sys.executable).with_name("nbgrader")
STEP = "def sgd_step(w, g, lr):\n    return w - lr * g"
BATCH = (
    "def minibatch_gradient(w, X, y, batch):\n"
    "    rows = X[batch]\n"
    "    return rows.T @ (rows @ w - y[batch]) / len(batch)"
)
UPHILL = "def sgd_step(w, g, lr):\n    return w + lr * g"
SAYS_UPHILL = "You add the gradient, and the gradient points uphill"
ENDED = "its process ended"


def released(piece="sgd"):
    return json.loads((ROOT / "exercises" / "optimizers" / f"{piece}.ipynb").read_text())


def cell_of(notebook, name):
    return next(c for c in notebook["cells"] if c["id"] == name)


def code(source, **more):
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [],
            "execution_count": None, "id": "own-cell"} | more  # fmt: skip


def solved(step=STEP, batch=BATCH):
    notebook = released()
    cell_of(notebook, "sgd_step")["source"] = step
    cell_of(notebook, "minibatch_gradient")["source"] = batch
    cell_of(notebook, "why")["source"] = "It is noisy. It is cheap."
    return notebook


def with_cells(*sources, where=2, **answers):
    notebook = solved(**answers)
    notebook["cells"][where:where] = [
        code(source, id=f"own-{n}") for n, source in enumerate(sources)
    ]
    return notebook


def inside(statement, batch=BATCH):
    """An answer with a statement before the right value is returned."""
    return solved(f"def sgd_step(w, g, lr):\n    {statement}\n    return w - lr * g", batch)


@dataclass
class Case:
    """What a student hands in, and what must come of it."""

    files: dict  # name -> notebook as dictionary, text or bytes
    step: float | None = 2  # marks of sgd_step_hidden, None: not asked
    batch: float | None = 3  # marks of minibatch_gradient_hidden
    says: str = ""  # in the feedback page
    logs: str = ""  # in nbgrader's log, with the student's name
    review: tuple = ()  # functions that a person must look at
    piece: str = "sgd"
    marks: dict = field(default_factory=dict)

    def __post_init__(self):
        if not self.marks:
            self.marks = {"sgd_step_hidden": self.step, "minibatch_gradient_hidden": self.batch}


def sgd(notebook, *marks, **more):
    return Case({"sgd.ipynb": notebook}, *marks, **more)


def changed(change, name=None, **answers):
    notebook = solved(**answers)
    change(notebook if name is None else cell_of(notebook, name))
    return notebook


def stripped():
    notebook = solved()
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        del cell["id"]
    notebook["metadata"] = {}
    return notebook


def without(name):
    notebook = solved()
    notebook["cells"] = [c for c in notebook["cells"] if c["id"] != name]
    return notebook


def twice(name, **more):
    notebook = solved()
    for index, cell in enumerate(notebook["cells"]):
        if cell["id"] == name:
            notebook["cells"].insert(index + 1, copy.deepcopy(cell) | more)
            return notebook


def older(minor):
    notebook = solved()
    notebook["nbformat_minor"] = minor
    for cell in notebook["cells"]:
        del cell["id"]
    return notebook


def version_three():
    old = nbformat.convert(nbformat.from_dict(solved()), 3)
    return json.loads(json.dumps(old))


def everywhere(**about):
    def change(notebook):
        for cell in notebook["cells"]:
            if "nbgrader" in cell["metadata"]:
                cell["metadata"]["nbgrader"] |= about

    return changed(change)


def grading(name, **about):
    return changed(lambda cell: cell["metadata"]["nbgrader"].update(about), name)


def of_adam(mistake):
    notebook = released("adam")
    wrong = next(m for m in load("optimizers", "adam").mistakes if m.name == mistake)
    cell_of(notebook, "adam_step")["source"] = wrong.source
    cell_of(notebook, "adamw_step")["source"] = load("optimizers", "adam").solves["adamw_step"]
    return notebook, wrong.because


EPS_INSIDE, EPS_SENTENCE = of_adam("eps_inside_the_root")
BOTH = ("sgd_step", "minibatch_gradient")
DAMAGED = {"step": 0, "batch": 0, "review": BOTH}
FAKE = json.dumps([{"aspect": "a", "values": [], "changed": [], "raised": None, "missing": None}])
MIME = "application/vnd.answers+json"

HONEST = {
    "right": sgd(solved(), says="sgd_step is right."),
    "warns": sgd(inside("import sys, warnings; warnings.warn('x'); print('y', file=sys.stderr)")),
    "prints": sgd(inside("print('word ' * 40_000)")),
    "torch": sgd(
        solved(
            "import torch\ndef sgd_step(w, g, lr):\n"
            "    return torch.as_tensor(w) - lr * torch.as_tensor(g)",
        )
    ),
    "torch-unused": sgd(with_cells("import torch\nimport torch.nn as nn")),
    "displays": sgd(
        with_cells(
            "h = display('one', display_id='d'); display('two', display_id='e')",
            "from IPython.display import clear_output\nh.update('three')\nclear_output(wait=True)",
        )
    ),
    "blank": sgd(released(), 0, 0, says="sgd_step is not written yet"),
    "eps-inside": Case(
        {"adam.ipynb": EPS_INSIDE},
        piece="adam",
        says=EPS_SENTENCE,
        marks={"adam_step_hidden": 0, "adamw_step_hidden": 3},
    ),
    "uncatalogued": sgd(
        solved("def sgd_step(w, g, lr):\n    return w - 1.01 * lr * g"),
        0,
        says="it is none of the mistakes we know",
    ),
    "syntax": sgd(
        solved("def sgd_step(w, g, lr):\n    return w -"), 0, says="There is no sgd_step"
    ),
    "redefined": sgd(with_cells(STEP, where=-1, step=UPHILL), 2),
    "redefined-wrong": sgd(with_cells(UPHILL, where=-1), 0, says=SAYS_UPHILL),
    "exits-politely": sgd(with_cells("exit()", "get_ipython().ask_exit()", "quit")),
    "null-bytes": sgd(changed(lambda c: c.update(source=STEP + " \x00"), "sgd_step")),
    "pictures": sgd(
        changed(
            lambda n: n["cells"].append(
                {
                    "cell_type": "markdown",
                    "metadata": {},
                    "id": "mine",
                    "source": "![a](attachment:a.png) ![b](attachment:b.png) ![c](attachment:c)",
                    "attachments": {"a.png": {"image/png": "iVBORw0KGgo="}, "b.png": {}, "c": 7},
                }
            )  # fmt: skip
        ),
        says="![b](attachment:b.png)",
    ),
    "pasted": sgd(
        changed(
            lambda c: c.update(
                source="![a](attachment:a.png)",
                attachments={"a.png": {"image/png": "iVBORw0KGgo="}},
            ),
            "why",
        )
    ),
    "markdown-output": sgd(
        with_cells("from IPython.display import Markdown\nMarkdown('![a](attachment:a.png)')"),
        says="![a](attachment:a.png)",
    ),
}
DISHONEST = {
    "sys-exit": sgd(inside("import sys; sys.exit(0)"), 0, says="stopped with SystemExit"),
    "recursion": sgd(
        inside("import sys; sys.setrecursionlimit(400); sgd_step(w, g, lr)"),
        0,
        says="stopped with RecursionError",
    ),
    "huge": sgd(inside("np.zeros((10**7, 10**6))"), 0, says="stopped with"),
    "input": sgd(inside("input()"), 0, says="stopped with EOFError"),
    "optlib": sgd(with_cells("import optlib"), 0, 0, says="uses optlib, which holds the answer"),
    "torch-optim": sgd(
        inside("import torch; torch.optim.SGD([torch.zeros(1)], lr=lr)"),
        0,
        0,
        says="uses torch.optim, which holds the answer",
    ),
    "patches": sgd(
        with_cells(
            "import builtins, numpy.testing\nnp.allclose = np.array_equal = lambda *a, **k: True\n"
            "numpy.testing.assert_allclose = lambda *a, **k: None\n"
            "builtins.all = builtins.any = lambda *a: True\n",
            step=UPHILL,
        ),
        0,
        says=SAYS_UPHILL,
    ),
    "forges": sgd(
        with_cells(
            f"print({FAKE!r})\nget_ipython().display_pub.publish(data={{{MIME!r}: {FAKE!r}}})",
            step="def sgd_step(w, g, lr):\n"
            f"    print({FAKE!r}, 5.0)\n"
            f"    get_ipython().display_pub.publish(data={{{MIME!r}: {FAKE!r}, 'text/plain': '5'}})"
            "\n    return w",
        ),
        0,
        says="sgd_step goes wrong on",
    ),
    "forges-an-answer": sgd(
        solved(
            f"import json, os\ndef sgd_step(w, g, lr):\n"
            f"    line = json.dumps({{'answers': {FAKE!r}, 'outputs': [], 'to': 4}})\n"
            "    [os.write(fd, line.encode() + b'\\n') for fd in range(3, 6)]\n    return w"
        ),
        0,
        says="it sent what nobody",
        review=("sgd_step",),
    ),
    "leaks": sgd(
        with_cells(
            "import threading, time, sys\n"
            "def tell():\n    while True:\n"
            "        print(In, [s for f in sys._current_frames().values() "
            "for s in [f.f_back and f.f_back.f_locals]])\n        time.sleep(0.05)\n"
            "threading.Thread(target=tell, daemon=True).start()",
            step="def sgd_step(w, g, lr):\n"
            "    frame = sys._getframe()\n    seen = []\n"
            "    while frame:\n"
            "        seen.append(str(frame.f_locals.get('source')))\n        frame = frame.f_back\n"
            "    print(seen)\n    display(seen)\n"
            "    raise type('the_' + 'x'.join(c for c in ''.join(seen) if c.isalpha()), "
            "(Exception,), {})(seen)",
        ),
        0,
        says="sgd_step stopped with an exception",
    ),
}
STRUCTURE = {
    "hidden-deleted": sgd(without("sgd_step_hidden"), says="was missing", logs="was missing"),
    "hidden-renamed": sgd(grading("sgd_step_hidden", grade_id="mine"), logs="unknown name"),
    "hidden-twice": sgd(twice("sgd_step_hidden"), says="was there twice", logs="was there twice"),
    "hidden-markdown": sgd(changed(lambda c: c.update(cell_type="markdown"), "sgd_step_hidden")),
    "hidden-edited": sgd(
        changed(lambda c: c.update(source="100.0"), "sgd_step_hidden"),
        says="had been edited",
        logs="had been edited",
    ),
    "answer-twice": sgd(
        twice("sgd_step", source=UPHILL),
        0,
        says=SAYS_UPHILL,
        logs="two cells named",
        review=BOTH[:1],
    ),
    "answer-deleted": sgd(
        without("sgd_step"), 0, says="was missing", logs="was missing", review=BOTH[:1]
    ),
    "stripped": sgd(stripped(), says="had lost its name", logs="had lost its name"),
    "points": sgd(grading("sgd_step_hidden", points=1000)),
    "flags": sgd(everywhere(grade=True, solution=True, locked=False)),
    "flags-more": sgd(everywhere(grade=False, solution=False, task=True)),
    "schema-1": sgd(everywhere(schema_version=1)),
    "schema-99": sgd(everywhere(schema_version=99, grade_id="sgd_step"), logs="two cells named"),
    "kernelspec": sgd(
        changed(lambda n: n["metadata"].update(kernelspec={"name": "julia", "language": "julia"}))
    ),
    "version-3": sgd(version_three()),
    "version-4.4": sgd(older(4)),
    "ids-clash": sgd(
        changed(lambda n: [c.update(id="what-was-found") for c in n["cells"]]),
    ),
    "odd-cells": sgd(
        changed(
            lambda n: n["cells"].extend(
                [
                    None,
                    7,
                    {},
                    {"cell_type": "code"},
                    {"cell_type": "x", "source": [1, "a"]},
                    {"cell_type": "markdown", "source": "![a](attachment:b)", "attachments": 7},
                    {"cell_type": "code", "source": {}, "metadata": []},
                    code("1", metadata={"nbgrader": {"grade_id": ["list"]}}, id=3),
                    code("2", metadata={"nbgrader": {"grade_id": "\ud800<b>"}}),
                    code("3", metadata={"nbgrader": "text"}, outputs="none"),
                ]
            )  # fmt: skip
        )
    ),
    "o'Neil-é 7": sgd(solved()),
}
FILES = {
    "truncated": sgd(
        json.dumps(solved())[:-500], **DAMAGED, says="damaged or cut off", logs="cut off"
    ),
    "empty": sgd("", **DAMAGED, says="damaged or cut off", logs="damaged or cut off"),
    "hello": sgd({"hello": 1}, **DAMAGED, says="no Jupyter notebook", logs="no Jupyter notebook"),
    "html": sgd("<html></html>", **DAMAGED, says="damaged or cut off", logs="damaged"),
    "bomb": sgd("[" * 100_000, **DAMAGED, says="nested too deeply", logs="nested too deeply"),
    "many-cells": sgd(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [code("1")] * 50_000},
        **DAMAGED,
        says="more than 1000 cells",
        logs="more than 1000 cells",
    ),
    "latin": sgd(b"\xff\xfe\x00\x01", **DAMAGED, says="damaged or cut off", logs="damaged"),
    "other-name": Case(
        {"sgd (1).ipynb": solved()},
        says="was graded in its place",
        logs="was graded in its place",
    ),
    "missing": Case(
        {"adam.ipynb": released("adam")},
        **DAMAGED,
        says="No sgd.ipynb was handed in",
        logs="No sgd.ipynb was handed in",
    ),
}
MACHINE = {
    "exit-in-function": sgd(
        inside("import os; os._exit(0)"), 0, says=ENDED, logs=ENDED, review=BOTH[:1]
    ),
    "exit-in-cells": sgd(
        with_cells(*["import os\nos._exit(0)"] * 2), says="A cell was stopped: " + ENDED
    ),
    "loop": sgd(
        inside("while True: pass"), 0, says="did not finish within", logs="did not", review=BOTH[:1]
    ),
    "loop-swallows": sgd(
        inside(
            "\n".join(
                [
                    "while True:",
                    "        try:",
                    "            while True: pass",
                    "        except BaseException: pass",
                ]
            )
        ),  # fmt: skip
        0,
        says="did not finish within",
        logs="did not finish within",
        review=BOTH[:1],
    ),
    "segfault": sgd(
        inside("import ctypes; ctypes.string_at(0)"), 0, says=ENDED, logs=ENDED, review=BOTH[:1]
    ),
    "exits-often": sgd(
        with_cells(*["import os; os._exit(1)"] * 6, where=-1), says="A cell was not run"
    ),
    "loop-after-answer": sgd(solved(STEP + "\nwhile True: pass"), says="did not finish within"),
    "loop-in-answer": sgd(
        solved(STEP + "\nsum(iter(int, 1))"),
        0,
        says="sgd_step is not there. A cell was stopped: it did not finish",
        logs="sgd_step` is not there. A cell was stopped: it did not finish",
        review=BOTH[:1],
    ),
}
CLASSES = [HONEST, DISHONEST | FILES, MACHINE, STRUCTURE]
LIMITS = [[], [], ["--RunAndJudge.cell_timeout=3"], []]
CASES = {student: case for cases in CLASSES for student, case in cases.items()}


@dataclass
class Graded:
    """A graded course, and what nbgrader said."""

    folder: Path
    runs: list

    @property
    def log(self):
        return "\n".join(run.stdout + run.stderr for run in self.runs)

    def marks(self, student):
        return {key: grade.auto_score for key, grade in self.grades(student).items()}

    def grades(self, student):
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.folder}/gradebook.db") as gradebook:
            submission = gradebook.find_submission("optimizers", student)
            return {
                (notebook.name, grade.name): _Grade(grade.auto_score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }

    def page(self, student, piece):
        return (self.folder / "feedback" / student / "optimizers" / f"{piece}.html").read_text()


@dataclass(frozen=True)
class _Grade:
    auto_score: float | None
    needs_manual_grade: bool


def course(folder, students):
    folder.mkdir()
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    for kind in "solutions", "exercises":
        (folder / kind / "optimizers").mkdir(parents=True)
        for piece in "sgd", "adam":
            shutil.copy(ROOT / kind / "optimizers" / f"{piece}.ipynb", folder / kind / "optimizers")
    for student, case in students.items():
        submitted = folder / "submitted" / student / "optimizers"
        submitted.mkdir(parents=True)
        for name, content in case.files.items():
            content = json.dumps(content) if isinstance(content, dict) else content
            content = content.encode() if isinstance(content, str) else content
            (submitted / name).write_bytes(content)
    return folder


def start(folder, *arguments, env=None):
    env = os.environ | {"COLUMNS": "200"} | (env or {})
    return subprocess.Popen(
        [NBGRADER, *arguments], cwd=folder, text=True, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process):
    out, _ = process.communicate(timeout=400)
    return subprocess.CompletedProcess(process.args, process.returncode, out, "")


@pytest.fixture(scope="session")
def graded(tmp_path_factory, request):
    """The class, graded: student -> Graded. Done once, whatever the number of pytest's workers."""
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        root = root.parent
    with open(root / "class.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "class.json").exists():
            (root / "class.json").write_text(json.dumps(grade_class(root)))
    courses = [
        Graded(Path(folder), [subprocess.CompletedProcess([], *run, "") for run in runs])
        for folder, runs in json.loads((root / "class.json").read_text())
    ]
    return {student: c for c, students in zip(courses, CLASSES) for student in students}


def grade_class(root):
    """Grade all courses side by side; returns each one's folder and what nbgrader said."""
    folders = [course(root / f"course{n}", students) for n, students in enumerate(CLASSES)]
    said = [[] for _ in folders]
    for what, limits in ("autograde", LIMITS), ("generate_feedback", [[]] * len(LIMITS)):
        processes = [start(f, what, "optimizers", *more) for f, more in zip(folders, limits)]
        for runs, process in zip(said, processes):
            run = finish(process)
            runs.append((run.returncode, run.stdout))
    return [(str(folder), runs) for folder, runs in zip(folders, said)]


def text_of(page):
    """What a reader of a feedback page sees, without the style sheet."""
    body = re.sub(r"<(style|script|head)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", body)))


def test_every_run_ends_well(graded):
    for c in {id(c): c for c in graded.values()}.values():
        for run in c.runs:
            errors = [line for line in run.stdout.splitlines() if "INFO" not in line]
            assert run.returncode == 0, "\n".join(errors)
            assert "There was an error processing" not in run.stdout


@pytest.mark.parametrize("student", CASES)
def test_marks_reasons_and_flags(graded, student):
    case, c = CASES[student], graded[student]
    grades = c.grades(student)
    page = text_of(c.page(student, case.piece))
    for name, marks in case.marks.items():
        grade = grades[case.piece, name]
        assert grade.auto_score == marks, page[:1500]
        function = name.removesuffix("_hidden")
        assert grade.needs_manual_grade == (function in case.review), page[:1500]
    assert case.says.replace("`", "") in page
    if case.logs:
        lines = [line for line in c.log.splitlines() if f"{student}, {case.piece}: " in line]
        assert any(case.logs in line for line in lines), c.log[-3000:]
    others = {key: g for key, g in grades.items() if key[0] != case.piece and "hidden" in key[1]}
    assert others
    assert all(grade.auto_score == 0 for grade in others.values())


def test_the_first_thing_on_a_page_is_the_teacher_s_sentence(graded):
    page = text_of(graded["eps-inside"].page("eps-inside", "adam"))
    cells = graded["eps-inside"].page("eps-inside", "adam").split('class="cell', 1)
    assert text_of(cells[1].split(">", 1)[1]).strip().startswith(EPS_SENTENCE.replace("`", ""))
    assert EPS_SENTENCE.replace("`", "") in page


def test_written_answers_wait_for_a_person_and_untouched_ones_do_not(graded):
    assert graded["right"].grades("right")["sgd", "why"] == _Grade(None, True)
    assert graded["blank"].grades("blank")["sgd", "why"] == _Grade(0, False)


def words(text):
    return re.findall(r"\w+", text)


def shingles(text, size=8):
    found = words(text)
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


def test_no_page_and_no_log_holds_a_hidden_question_or_a_reference_answer(graded):
    hidden, given = set(), set()
    for path in (ROOT / "exercises" / "optimizers").glob("*.ipynb"):
        exercise = load("optimizers", path.stem)
        for p in exercise.probes:
            # The names of the aspects are told, as headings of their marks.
            hidden |= shingles(re.sub(r"^def .*:$", "", p.source, flags=re.MULTILINE))
        for cell in json.loads(path.read_text())["cells"]:
            given |= shingles("".join(cell["source"]))
        for source in exercise.solves.values():
            hidden |= shingles(source.split("BEGIN SOLUTION")[-1])
    for case in CASES.values():  # what students wrote themselves they may see again
        for content in case.files.values():
            for cell in content.get("cells", []) if isinstance(content, dict) else []:
                if isinstance(cell, dict) and isinstance(cell.get("source"), str | list):
                    given |= shingles("".join(map(str, cell["source"])))
    for student, c in graded.items():
        pages = (c.folder / "feedback" / student / "optimizers").glob("*.html")
        for page in pages:
            found = shingles(text_of(page.read_text())) & (hidden - given)
            assert not found, f"{student}: {' '.join(next(iter(found)))}"
    for c in {id(c): c for c in graded.values()}.values():
        assert not shingles(c.log) & (hidden - given)


def test_no_link_is_followed_to_what_a_student_must_not_have(tmp_path):
    folder = course(tmp_path / "course", {"linker": HONEST["right"]})
    submitted = folder / "submitted" / "linker" / "optimizers"
    (folder / "secret.txt").write_text("a secret of the teacher's")
    (submitted / "notes.txt").symlink_to(folder / "secret.txt")
    (submitted / "solutions").symlink_to(folder / "solutions")
    (submitted / "adam.ipynb").symlink_to(folder / "solutions" / "optimizers" / "adam.ipynb")
    os.mkfifo(submitted / "pipe")
    (submitted / "mine.txt").write_text("my own")
    for what in "autograde", "generate_feedback":
        run = finish(start(folder, what, "optimizers"))
        assert run.returncode == 0, run.stdout
    for kind in "autograded", "feedback":
        made = folder / kind / "linker" / "optimizers"
        texts = {p.name: p.read_text() for p in made.rglob("*") if p.is_file()}
        assert "mine.txt" in texts and "solutions.removed.txt" in texts
        assert not any("a secret" in text for text in texts.values())
        assert not any("BEGIN SOLUTION" in text for text in texts.values())
    marks = Graded(folder, [run]).marks("linker")
    assert marks["sgd", "sgd_step_hidden"] == 2 and marks["adam", "adam_step_hidden"] == 0


def test_without_a_jail_nothing_is_graded_unless_it_is_said(tmp_path):
    students = {"right": HONEST["right"]}
    folder = course(tmp_path / "course", students)
    run = finish(start(folder, "autograde", "optimizers", env={"PATH": "/nowhere"}))
    assert run.returncode == 1 and "bubblewrap is not installed" in run.stdout
    assert "--RunAndJudge.unsafe=True" in run.stdout and "Traceback" not in run.stdout
    assert not (folder / "autograded").exists()
    unsafe = "--RunAndJudge.unsafe=True"
    run = finish(start(folder, "autograde", "optimizers", unsafe, env={"PATH": "/nowhere"}))
    assert run.returncode == 0, run.stdout
    assert Graded(folder, [run]).marks("right")["sgd", "sgd_step_hidden"] == 2


def test_a_second_grading_gives_the_same_marks(graded, tmp_path):
    shutil.copytree(graded["right"].folder, tmp_path / "again")
    again = Graded(tmp_path / "again", [])
    for student in "uncatalogued", "eps-inside":
        before = again.grades(student)
        force = ["--force", "--student", student]
        run = finish(start(again.folder, "autograde", "optimizers", *force))
        assert run.returncode == 0, run.stdout
        assert again.grades(student) == before
    run = finish(start(again.folder, "autograde", "optimizers"))
    assert run.returncode == 0 and run.stdout.count("Skipping existing assignment") == len(HONEST)


def test_the_formgrader_reads_the_gradebook(graded):
    """What nbgrader's web pages ask of the gradebook and of the autograded notebooks."""
    from nbgrader.apps.api import NbGraderAPI
    from traitlets.config import Config

    c = graded["missing"]
    config = Config()
    config.CourseDirectory.root = str(c.folder)
    config.CourseDirectory.course_id = "optimization"
    api = NbGraderAPI(config=config)
    for student in DISHONEST | FILES:
        submission = api.get_submission("optimizers", student)
        assert submission["autograded"]
        assert submission["needs_manual_grade"] == any(
            grade.needs_manual_grade for grade in c.grades(student).values()
        )
        autograded = c.folder / "autograded" / student / "optimizers"
        for path in autograded.glob("*.ipynb"):
            nbformat.validate(nbformat.read(path, 4))
