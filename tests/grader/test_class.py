"""A class graded by `python -m grader grade`: as plain nbgrader marks it, and nothing lost.

The same submissions are graded once by nbgrader and once by the command; what the tests change,
they change in a copy of the second course.
"""

import copy
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade

from grader import __main__, build, gradebook, pool, sandbox
from grader.course import Course
from grader.exercise import ROOT, load
from grader.feedback import PROGRAM, Feedback

pytestmark = [
    # SQLAlchemy warns of nbgrader's tables, and nbgrader leaves connections open.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
NBGRADER = Path(sys.executable).with_name("nbgrader")
PIECES = [path.stem for path in sorted((ROOT / "exercises" / "optimizers").glob("*.ipynb"))]
UPHILL = "def sgd_step(w, g, lr):\n    return w + lr * g"
LATE = "2026-02-03 10:00:00 UTC"
DUE = datetime(2026, 2, 1)


def solved(piece, **answers):
    """A notebook with the right answers, or others by name; None leaves a cell as released."""
    notebook = json.loads((ROOT / "exercises" / "optimizers" / f"{piece}.ipynb").read_text())
    answers = {"why": "Because it is cheap."} | load("optimizers", piece).solves | answers
    for cell in notebook["cells"]:
        cell["source"] = answers.get(cell["id"]) or cell["source"]
    return notebook


def mistaken(piece, name):
    mistake = next(m for m in load("optimizers", piece).mistakes if m.name == name)
    return solved(piece, **{mistake.function: mistake.source})


def untouched(piece):
    return json.loads((ROOT / "exercises" / "optimizers" / f"{piece}.ipynb").read_text())


def stripped(piece):
    notebook = solved(piece)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    return notebook


def without(piece, name):
    notebook = solved(piece)
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] != name]
    return notebook


def with_cell(piece, source, **answers):
    notebook = solved(piece, **answers)
    cell = {"cell_type": "code", "id": "own", "metadata": {}, "outputs": [], "source": source}
    notebook["cells"].append(cell | {"execution_count": None})
    return notebook


CLASS = {
    "anna": {f"{piece}.ipynb": solved(piece) for piece in PIECES},
    "bob": {
        "adam.ipynb": mistaken("adam", "eps_inside_the_root"),
        "sgd.ipynb": with_cell("sgd", "plt.plot([1, 2])", sgd_step=UPHILL, why=None),
        "momentum.ipynb": stripped("momentum"),
        "timestamp.txt": "2026-01-31 10:00:00 UTC",
    },
    "carl": {f"{piece}.ipynb": untouched(piece) for piece in PIECES},
    "dora": {
        "adam.ipynb": json.dumps(solved("adam"))[:-300],
        "sgd.ipynb": solved("sgd", sgd_step="import os\nos._exit(0)"),
        "momentum (1).ipynb": solved("momentum"),
    },
    "o'Neil-é 7": {
        "sgd.ipynb": without("sgd", "sgd_step_hidden"),
        "timestamp.txt": LATE,
        "notes.csv": "1,2\n",
    },
}


def handed_in(folder, student, files):
    place = folder / "submitted" / student / "optimizers"
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        content = json.dumps(content) if isinstance(content, dict) else content
        (place / name).write_text(content)


def course(folder):
    folder.mkdir()
    late = '\nc.LateSubmissionPlugin.penalty_method = "zero"\n'
    (folder / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text() + late)
    for kind in "solutions", "exercises":
        ignored = shutil.ignore_patterns("*.py")
        shutil.copytree(ROOT / kind / "optimizers", folder / kind / "optimizers", ignore=ignored)
    for student, files in CLASS.items():
        handed_in(folder, student, files)
    new_gradebook(folder)
    return folder


def new_gradebook(folder):
    """One with a due date, and a mark and a comment by a person, from an earlier grading."""
    build.ensure_gradebook("optimizers", folder)
    with opened(folder) as book:
        book.update_or_create_assignment("optimizers", duedate=DUE)
        book.add_student("anna")
        book.add_submission("optimizers", "anna")
        book.find_grade("why", "sgd", "optimizers", "anna").manual_score = 1.5
        book.find_comment("why", "sgd", "optimizers", "anna").manual_comment = "Nearly *all*."
        book.db.commit()


def opened(folder):
    return Gradebook(f"sqlite:///{folder}/gradebook.db", "optimization")


def marks(folder, *students):
    """Every cell of the gradebook, by student, notebook and name."""
    query = """
        select a.student_id, n.name, c.name, g.auto_score, g.manual_score, g.needs_manual_grade,
               m.auto_comment, m.manual_comment, s.late_submission_penalty, a.timestamp
        from submitted_assignment a join submitted_notebook s on s.assignment_id = a.id
        join notebook n on n.id = s.notebook_id join base_cell c on c.notebook_id = n.id
        left join grade g on g.notebook_id = s.id and g.cell_id = c.id
        left join comment m on m.notebook_id = s.id and m.cell_id = c.id
        order by 1, 2, 3, c.type
    """
    rows = sqlite3.connect(folder / "gradebook.db").execute(query).fetchall()
    return [row for row in rows if not students or row[0] in students]


def scores(folder, student):
    """(notebook, cell) -> automatic mark, a person's mark, whether a person must look."""
    rows = [row for row in marks(folder, student) if row[5] is not None]
    return {row[1:3]: row[3:6] for row in rows}


def outcomes(folder):
    found = gradebook.outcomes(f"sqlite:///{folder}/gradebook.db", "optimizers")
    return {(o["student"], o["notebook"]): o for o in found}


def files(folder, kind):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / kind).rglob("*"))
        if path.is_file()
    }


def start(folder, *command):
    return subprocess.Popen(
        [*command], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def grading(folder, *more):
    return start(folder, sys.executable, "-m", "grader", "grade", "optimizers", *more)


def finished(process):
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


@pytest.fixture(scope="module")
def courses(tmp_path_factory):
    """The class graded by plain nbgrader, and graded by the command."""
    root = tmp_path_factory.mktemp("courses")
    plain = course(root / "plain")
    ours = root / "ours"
    shutil.copytree(plain, ours)
    process = grading(ours, "--jobs", "2")
    for what in "autograde", "generate_feedback":
        status, out = finished(start(plain, NBGRADER, what, "optimizers"))
        assert status == 0, out
    status, out = finished(process)
    assert status == 0, out
    assert "15 notebooks graded" in out
    return SimpleNamespace(plain=plain, ours=ours, said=out)


@pytest.fixture
def ours(courses, tmp_path):
    shutil.copytree(courses.ours, tmp_path / "course")
    return tmp_path / "course"


@pytest.fixture
def grade(ours, monkeypatch, capsys):
    """Run the command in a copy of the graded course; returns what it said."""
    monkeypatch.chdir(ours)

    def run(*more, status=0):
        capsys.readouterr()
        assert __main__.main(["grade", "optimizers", *more]) == status
        said = capsys.readouterr()
        return said.out + said.err

    return run


# As plain nbgrader


def test_marks_comments_penalties_and_what_waits_are_those_of_plain_nbgrader(courses):
    assert marks(courses.ours) == marks(courses.plain)
    assert {row[0] for row in marks(courses.ours)} == set(CLASS)


def test_the_class_is_a_hard_one(courses):
    """The marks that the comparison above is about are not all alike."""
    found = {student: scores(courses.ours, student) for student in CLASS}
    assert found["anna"]["sgd", "sgd_step_hidden"] == (2, None, 0)
    assert found["anna"]["sgd", "why"] == (None, 1.5, 1)
    assert found["anna"]["adam", "why"] == (None, None, 1)
    assert found["carl"]["sgd", "why"] == (0, None, 0)
    assert found["bob"]["adam", "adam_step_hidden"] == (0, None, 0)
    assert found["dora"]["adam", "adam_step_hidden"] == (0, None, 1)
    assert found["dora"]["momentum", "momentum_step_hidden"][0] > 0
    penalties = {row[0]: row[8] for row in marks(courses.ours) if row[1] == "sgd"}
    assert penalties == {"anna": None, "bob": None, "carl": None, "dora": None, "o'Neil-é 7": 5}


@pytest.mark.parametrize("piece", PIECES)
def test_right_answers_leave_a_plot_and_no_error(courses, piece):
    notebook = nbformat.read(courses.ours / f"autograded/anna/optimizers/{piece}.ipynb", 4)
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1


@pytest.mark.parametrize("kind", ["autograded", "feedback"])
def test_notebooks_and_pages_are_those_of_plain_nbgrader(courses, kind):
    ours, plain = files(courses.ours, kind), files(courses.plain, kind)
    assert list(ours) == list(plain)
    for name in plain:
        assert ours[name] == plain[name], name


def test_pages_need_no_other_machine_and_draw_their_formulas(courses):
    """No address is loaded; links that a reader may click on are none of that."""
    for name, page in files(courses.ours, "feedback").items():
        if not name.endswith(".html"):
            continue
        found = re.findall(r'(?:src|srcset|@import|url\()\s*=?\s*["\']?(\w+:)?//', page.decode())
        assert not found, name
        assert "MathJax" not in page.decode()
    page = (courses.ours / "feedback" / "anna" / "optimizers" / "adam.html").read_text()
    assert "<msqrt>" in page and "$" not in re.sub("<[^>]*>", "", page.split("<body>")[1])


def test_a_page_is_nbconvert_s_own_but_for_formulas(courses):
    """The page is made in parts; nbconvert makes the same one in one piece."""
    notebook = nbformat.read(courses.ours / "autograded/bob/optimizers/sgd.ipynb", 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("$", "")
    feedback = Feedback(Course(courses.ours).config)
    stock = HTMLExporter(config=feedback.exporter.config)
    for preprocessor in feedback.exporter._preprocessors:
        if isinstance(preprocessor, NbGraderPreprocessor):
            stock.register_preprocessor(preprocessor)
    scores = {c.metadata.nbgrader.grade_id: 1 for c in notebook.cells if is_grade(c)}
    shown = {"scores": scores, "comments": {"why": "*So* it is."}, "late_penalty": 1}
    page = feedback.page(copy.deepcopy(notebook), {"notebook": "sgd"}, shown)
    resources = {"nbgrader": {"notebook": "sgd", "shown": shown}}
    assert page == PROGRAM.sub("", stock.from_notebook_node(notebook, resources)[0], count=1)


def test_every_notebook_has_an_outcome_with_its_verdicts(courses):
    found = outcomes(courses.ours)
    assert list(found) == [(student, piece) for student in sorted(CLASS) for piece in PIECES]
    bob = found["bob", "adam"]["verdicts"][0]
    assert (bob["function"], bob["earned"], bob["mistake"]) == (
        "adam_step", 0, "eps_inside_the_root",
    )  # fmt: skip
    assert found["dora", "adam"]["unreadable"] and found["dora", "sgd"]["stops"]
    assert {o["state"] for o in found.values()} == {"graded"}
    assert {o["jail"] for o in found.values()} == {"bubblewrap"}


def test_those_who_need_a_look_are_named(courses):
    look = courses.said.split("A person should look at")[1]
    assert "dora, adam: " in look and "dora, sgd: " in look and "o'Neil-é 7, adam: " in look
    assert "anna" not in look and "carl" not in look


# Again


def test_a_second_run_does_nothing(ours, grade):
    before = {path: path.stat().st_mtime_ns for path in ours.rglob("*.ipynb")}
    assert "0 notebooks graded, 15 unchanged" in grade()
    assert {path: path.stat().st_mtime_ns for path in ours.rglob("*.ipynb")} == before


def test_only_what_changed_is_graded_again(ours, grade):
    pages = files(ours, "feedback")
    before = marks(ours, "anna", "carl", "dora", "o'Neil-é 7")
    handed_in(ours, "bob", {"sgd.ipynb": solved("sgd")})
    (ours / "feedback" / "anna" / "optimizers" / "adam.html").unlink()
    assert "2 notebooks graded, 13 unchanged" in grade()
    assert marks(ours, "anna", "carl", "dora", "o'Neil-é 7") == before
    changed = {name for name, page in files(ours, "feedback").items() if pages[name] != page}
    assert changed == {"feedback/bob/optimizers/sgd.html"}
    assert scores(ours, "bob")["sgd", "sgd_step_hidden"] == (2, None, 0)


def test_a_second_grading_gives_the_same_bytes(ours, grade):
    before = {kind: files(ours, kind) for kind in ("autograded", "feedback")}
    said = grade("--again", "--student", "dora", "--student", "bob", "--jobs", "1")
    assert "6 notebooks graded" in said
    assert {kind: files(ours, kind) for kind in before} == before


def test_a_person_s_marks_and_words_are_kept_and_shown(ours, grade):
    assert scores(ours, "anna")["sgd", "why"] == (None, 1.5, 1)
    with opened(ours) as book:
        mark = book.find_grade("why", "sgd", "optimizers", "anna")
        mark.manual_score, mark.extra_credit, mark.needs_manual_grade = 2, 0.25, False
        book.find_comment("why", "sgd", "optimizers", "anna").manual_comment = "*All* of it."
        book.db.commit()
    assert "0 notebooks graded, 1 pages written again, 14 unchanged" in grade()
    assert scores(ours, "anna")["sgd", "why"] == (None, 2, 0)
    page = (ours / "feedback" / "anna" / "optimizers" / "sgd.html").read_text()
    assert "<em>All</em> of it." in page and "(Score: 7.25 / 7.0)" in page
    # Graded again it asks for another look at what a person gave, as nbgrader does.
    grade("--again", "--student", "anna", "--notebook", "sgd")
    assert scores(ours, "anna")["sgd", "why"] == (None, 2, 1)


def test_what_ran_without_a_jail_is_graded_again_where_there_is_one(ours, grade, monkeypatch):
    (ours / "autograded" / "carl" / "optimizers" / "sgd.ipynb").unlink()
    with monkeypatch.context() as without:
        without.setattr(sandbox, "_lacking", lambda: "no walls")
        assert "no walls" in grade(status=2)
        assert "1 notebooks graded" in grade("--unsafe")
        assert "0 notebooks graded" in grade("--unsafe")
    assert outcomes(ours)["carl", "sgd"]["jail"] == "none"
    assert "1 notebooks graded" in grade()
    assert outcomes(ours)["carl", "sgd"]["jail"] == "bubblewrap"
    assert "0 notebooks graded" in grade()


def test_whoever_left_the_course_is_no_outcome_any_more(ours):
    assert ("anna", "sgd") in outcomes(ours)
    with opened(ours) as book:
        book.remove_student("anna")
    assert "anna" not in {student for student, _ in outcomes(ours)}


# What students hand in


def test_nothing_that_is_handed_in_stops_the_run(ours, grade, tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_text(json.dumps(solved("sgd")))
    for student in "link", "pipe", "folder":
        handed_in(ours, student, {"adam.ipynb": untouched("adam")})
    section = Path("optimizers")
    submitted = ours / "submitted"
    (submitted / "link" / section / "sgd.ipynb").symlink_to(secret)
    os.mkfifo(submitted / "pipe" / section / "sgd.ipynb")
    (submitted / "folder" / section / "sgd.ipynb").mkdir()
    (submitted / "nothing" / section).mkdir(parents=True)
    (submitted / "whole").mkdir()
    (submitted / "whole" / section).symlink_to(submitted / "anna" / section)
    handed_in(ours, "line\nbreak", {"sgd.ipynb": untouched("sgd")})
    (submitted / "a file").write_text("x")
    said = grade(status=1)
    assert "15 notebooks graded, 15 unchanged" in said
    assert r"'line\nbreak', all: no gradebook can hold a name like this" in said
    found = outcomes(ours)
    for student in "link", "pipe", "folder", "nothing", "whole":
        outcome = found[student, "sgd"]
        assert outcome["state"] == "graded" and outcome["unreadable"]
        assert [v["earned"] for v in outcome["verdicts"]] == [0, 0]
        assert all(v["review"] for v in outcome["verdicts"])
    page = (ours / "feedback" / "link" / "optimizers" / "sgd.html").read_text()
    assert "minibatch_gradient is right" not in page and "a link, a pipe or a folder" in page


# Nothing is lost


def count(folder):
    try:
        with sqlite3.connect(folder / "gradebook.db", timeout=0) as book:
            return book.execute("select count(*) from grader_outcome").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_a_run_that_is_killed_twice_ends_as_one_that_was_not(courses, tmp_path):
    folder = tmp_path / "course"
    shutil.copytree(courses.plain, folder, ignore=shutil.ignore_patterns("autograded", "feedback"))
    (folder / "gradebook.db").unlink()
    new_gradebook(folder)
    for enough in 1, 6:
        process = grading(folder, "--jobs", "2")
        while count(folder) < enough and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert 6 <= count(folder) < 15
    status, out = finished(grading(folder, "--jobs", "2"))
    assert status == 0, out
    assert marks(folder) == marks(courses.ours)
    for kind in "autograded", "feedback":
        assert files(folder, kind) == files(courses.ours, kind)
    assert [key for key in outcomes(folder)] == [key for key in outcomes(courses.ours)]


class Deadly(pool.Task):
    """A task that ends the process it comes to, as long as its file is there or for ever."""

    def __setstate__(self, state):
        self.__dict__ |= state
        if os.getpid() != self.parent and (self.always or not Path(self.flag).exists()):
            Path(self.flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Quick:
    """Stands for a bench: every task is graded at once."""

    def grade(self, task):
        return pool.Result(task.student, task.piece, task.key, {"state": "graded"})


def test_what_a_dead_worker_was_doing_is_given_out_again(tmp_path, monkeypatch):
    def task(student, kind=pool.Task, **more):
        made = kind(student, "optimizers", "sgd", "key", gradebook.Given(), {})
        made.__dict__ |= more | {"parent": os.getpid(), "flag": str(tmp_path / student)}
        return made

    monkeypatch.setattr(pool, "bench", lambda settings, section: Quick())
    tasks = [task(f"s{n}") for n in range(6)]
    tasks.insert(1, task("once", Deadly, always=False))
    tasks.insert(4, task("always", Deadly, always=True))
    place = pool.Cores(2, None, "optimizers")
    try:
        found = [result for _, result in pool.results(place, iter(tasks))]
    finally:
        place.close()
    assert sorted(r.student for r in found) == sorted(t.student for t in tasks)
    states = {r.student: r.outcome["state"] for r in found}
    assert states == dict.fromkeys(states, "graded") | {"always": "error"}


def test_a_fault_of_the_machine_is_an_error_and_no_zero(ours, grade, monkeypatch):
    handed_in(ours, "bob", {"sgd.ipynb": solved("sgd")})

    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr(pool, "graded", broken)
    said = grade(status=1)
    assert "NOT GRADED, 1" in said and "bob, sgd: OSError: no space left" in said
    assert scores(ours, "bob")["sgd", "sgd_step_hidden"] == (None, None, 1)
    assert outcomes(ours)["bob", "sgd"]["reason"] == "OSError: no space left"
    assert not (ours / "feedback" / "bob" / "optimizers" / "sgd.html").exists()
    monkeypatch.undo()
    monkeypatch.chdir(ours)
    assert "1 notebooks graded, 14 unchanged" in grade()


# The command


def test_watching_grades_what_arrives(ours):
    process = grading(ours, "--watch", "--jobs", "1")
    assert "Watching" in process.stdout.readline()
    handed_in(ours, "zoe", {"sgd.ipynb": solved("sgd")})
    ends = time.monotonic() + 60
    while len(outcomes(ours)) < 18 and time.monotonic() < ends:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    status, out = finished(process)
    assert status == 0, out
    assert "zoe, sgd: 5 of 5" in out and "3 notebooks graded" in out
    assert outcomes(ours)["zoe", "sgd"]["verdicts"][0]["earned"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["grade", "optimisers"], "There is no section 'optimisers'. There are: optimizers"),
        (["grade", "optimizers", "--student", "../anna"], "There is no student '../anna'"),
        (["grade", "optimizers", "--notebook", "adagrad"], "There is no notebook 'adagrad'"),
        (["grade", "optimizers", "--db", "nonsense"], "'nonsense' is no address of a database"),
        (["grade", "optimizers", "--db", "sqlite:////nowhere/x.db"], "cannot be opened"),
        (["grade", "optimizers", "--db", "mysql://x/y"], "needs the Python module MySQLdb"),
    ],
)
def test_bad_usage_is_told_with_what_there_is(courses, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(courses.ours)
    assert __main__.main(arguments) == 2
    assert says in capsys.readouterr().err


def test_the_gradebook_before_the_run_is_kept(ours, grade):
    before = marks(ours)
    handed_in(ours, "bob", {"sgd.ipynb": solved("sgd")})
    grade()
    assert marks(ours) != before
    shutil.copy(ours / "gradebook.db.bak", ours / "gradebook.db")
    assert marks(ours) == before
