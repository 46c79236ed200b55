"""The teacher's report: a class of which everything is known, counted and shown."""

import csv
import datetime
import functools
import html
import io
import json
import random
import re
import shutil
import sqlite3
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser

import pytest
from nbgrader.api import Gradebook as NbGradebook

from grader import judge, probe, report, tally
from grader.course import Course
from grader.exercise import ROOT, load
from grader.gradebook import Entry, Gradebook, Marks
from grader.submission import Unreadable, opened

pytestmark = [
    # SQLAlchemy warns of the tables' own foreign keys, and nbgrader leaves connections open.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECTION, PIECES = "optimizers", ("adam", "momentum", "sgd")
SCRIPT, FORMULA = "<img src=x onerror=alert(1)>", "=HYPERLINK(1)"
NEW = "def sgd_step(w, g, lr):\n    {0} = 1.01 * lr\n    return w - {0} * g"
UNUSUAL = """def adam_step({0}, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    # {1}
    parts = []
    for {2}, rate in zip((g, g * g), betas):
        parts.append((1 - rate) * {2})
    m, v = m * betas[0] + parts[0], v * betas[1] + parts[1]
    fixed = [mean / (1 - beta**t) for mean, beta in zip((m, v), betas)]
    return {0} - lr * fixed[0] / (fixed[1] ** 0.5 + eps), m, v"""
WORDS = (
    "step slope batch noise valley weight rate mean root bias zero start first long short rows "
    "learn low high stays falls grows memory speed sign wall floor ball hill square small"
)


@dataclass
class Work:
    """What became of one notebook of a student."""

    answers: dict = field(default_factory=dict)  # function -> source, where it is not the book's
    why: str = ""
    notes: tuple = ()
    stops: tuple = ()
    unreadable: bool = False
    error: str = ""
    jail: str = "bubblewrap"
    review: tuple = ()  # functions that were not asked in the end
    penalty: float = 0.0


def mistake(piece, function, name):
    return next(
        m.source for m in load(SECTION, piece).mistakes if (m.function, m.name) == (function, name)
    )


def said(student, count=30):
    """Words of one's own."""
    return " ".join(random.Random(student).choices(WORDS.split(), k=count))


def absent(piece, folder):
    """The sentence that a notebook gets that is not there."""
    with pytest.raises(Unreadable) as error:
        opened(folder / SECTION / f"{piece}.ipynb")
    return str(error.value)


def everybody(folder):
    """Student -> piece -> Work."""
    stub = "def {0}(*args, **more):\n    raise NotImplementedError"
    uphill = {"sgd": Work({"sgd_step": mistake("sgd", "sgd_step", "uphill")})}
    eps = {"adam": Work({"adam_step": mistake("adam", "adam_step", "eps_inside_the_root")})}
    copied = "so the mean starts too low and each push is kept, as I saw it in the lab " + said(0)
    found = {f"right{n}": {} for n in range(1, 7)}
    found |= {f"uphill{n}": uphill for n in range(1, 4)} | {f"eps{n}": eps for n in (1, 2)}
    found["new1"] = {"sgd": Work({"sgd_step": NEW.format("a")})}
    found["new2"] = {"sgd": Work({"sgd_step": "# mine\n" + NEW.format("rate")})}
    found["blank"] = {
        piece: Work({f: stub.format(f) for f in load(SECTION, piece).solves}) for piece in PIECES
    }
    stop = "A cell was stopped: it did not finish within 20 seconds."
    found["loop"] = {"sgd": Work(stops=(stop,), review=("sgd_step",))}
    damaged = "adam.ipynb is damaged or cut off: no Jupyter notebook."
    found["damaged"] = {"adam": Work(notes=(damaged,), unreadable=True)}
    found["absent"] = {"adam": Work(notes=(absent("adam", folder),), unreadable=True)}
    found["broken"] = {"adam": Work(error="no space left on device")}
    found["copy1"] = {"adam": Work({"adam_step": UNUSUAL.format("w", "both", "x")}, copied)}
    found["copy2"] = {"adam": Work({"adam_step": UNUSUAL.format("w", "all", "new")}, copied)}
    found["late"] = {"sgd": Work(penalty=3.0)}
    found["unjailed"] = {"sgd": Work(jail="none")}
    found |= {SCRIPT: eps, FORMULA: uphill, "007": {}, "-12": {}}
    return found


@functools.cache
def verdict(piece, function, source):
    exercise = load(SECTION, piece)
    hidden = next(p for p in exercise.probes if p.function == function)
    handed_out = probe.hand_out(hidden.source, exercise.namespace(function, source), 0)
    return judge.judged(SECTION, piece, hidden.grade_id, handed_out, 0)


def outcome(student, piece, work):
    exercise, verdicts = load(SECTION, piece), []
    for asked in exercise.probes:
        source = work.answers.get(asked.function, exercise.solves[asked.function])
        if work.unreadable:
            verdicts.append(judge.nothing(asked, work.notes[0], review=True))
        elif asked.function in work.review:
            sentence = f"`{asked.function}` is not there. {work.stops[0]}"
            verdicts.append(judge.nothing(asked, sentence, review=True))
        else:
            verdicts.append(verdict(piece, asked.function, source))
    return {
        "student": student, "section": SECTION, "notebook": piece,
        "state": "error" if work.error else "graded", "unreadable": work.unreadable,
        "verdicts": [] if work.error else [asdict(v) for v in verdicts],
        "notes": list(work.notes), "stops": list(work.stops), "jail": work.jail, "seconds": 0.25,
    } | ({"reason": work.error} if work.error else {})  # fmt: skip


def notebook(student, piece, work):
    """The graded notebook, as it lies in autograded/."""
    found = json.loads((ROOT / "exercises" / SECTION / f"{piece}.ipynb").read_text())
    for cell in found["cells"]:
        exercise = load(SECTION, piece)
        if cell["id"] in exercise.solves:
            cell["source"] = work.answers.get(cell["id"], exercise.solves[cell["id"]])
        elif cell["id"] == "why":
            cell["source"] = work.why or said(f"{student}{piece}")
    return json.dumps(found)


def enter(book, course, student, works):
    """Write what became of a student's notebooks as a run of the grader does."""
    for piece in PIECES:
        work = works.get(piece, Work())
        about = outcome(student, piece, work)
        scores = {v["grade_id"]: v["earned"] for v in about["verdicts"]} | {"why": None}
        review = [v["grade_id"] for v in about["verdicts"] if v["review"]]
        if work.error:
            scores = dict.fromkeys(book.graded[piece])
        marks = Marks(scores, dict.fromkeys(book.answers[piece]), review)
        now = datetime.datetime(2026, 1, 1)
        book.add(Entry(student, piece, "key", about, marks, work.penalty, now))
        course.submitted(student, SECTION).mkdir(parents=True, exist_ok=True)
        if not work.error:
            path = course.autograded(student, SECTION) / f"{piece}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(notebook(student, piece, work))
    book.flush()


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    course = Course(folder)
    with Gradebook(course, SECTION) as book:
        for student, works in everybody(folder).items():
            enter(book, course, student, works)
    with NbGradebook(course.db_url, course.folders.course_id) as book:
        book.add_student("nobody", first_name="No", last_name="Body, @home", lms_user_id="0042")
        book.update_or_create_student("right1", first_name="+1", last_name="Ärmel\u202e")
        for student, score in ("right1", 2.0), ("right2", 1.5):
            for piece in PIECES:
                grade = book.find_grade("why", piece, SECTION, student)
                grade.manual_score, grade.needs_manual_grade = score, False
        book.db.commit()
    course.submitted("handed-in-later", SECTION).mkdir(parents=True)
    return course


@pytest.fixture(scope="module")
def about(course):
    return report.gathered(course, SECTION)


@pytest.fixture(scope="module")
def page(about):
    return report.html(about)


@pytest.fixture(scope="module")
def table(about):
    file = io.StringIO(newline="")
    report.write_csv(about, file)
    return {row["student_id"]: row for row in csv.DictReader(io.StringIO(file.getvalue()))}


# Counting


def test_every_student_has_a_state(about):
    state = {row.student: row.state for row in about["rows"]}
    assert state["right1"] == state["right3"] == state["uphill1"] == state["blank"] == "graded"
    assert state["loop"] == "needs a person"
    assert state["damaged"] == "damaged"
    assert state["absent"] == "missing" == state["nobody"]
    assert state["broken"] == "error"
    assert state["handed-in-later"] == "not graded"
    assert about["states"] == {
        "graded": 22, "needs a person": 1, "missing": 2, "damaged": 1, "not graded": 1, "error": 1,
    }  # fmt: skip


def test_marks_of_people_count_and_being_late_costs(about):
    rows = {row.student: row for row in about["rows"]}
    assert rows["right1"].points == 24
    assert rows["right1"].total == 24
    assert rows["right2"].total == 22.5
    assert rows["right3"].total == 18
    assert (rows["late"].raw, rows["late"].penalty, rows["late"].total) == (18, 3, 15)
    assert rows["uphill1"].total == 16
    assert rows["eps1"].total == 14
    assert rows["blank"].total == 0
    assert rows["nobody"].total == 0
    assert rows["broken"].total is None and rows["handed-in-later"].total is None


def test_the_spread_has_everybody_who_has_a_number_once(about):
    assert sum(about["bins"]) == len(about["shares"]) == 25
    assert about["bins"][0] == 1  # blank
    assert about["bins"][9] == 2  # right1 and right2
    assert about["waiting"] == 3 * 26 - 3 - 6
    assert about["late"] == 1


def test_how_many_have_each_function_and_each_aspect(about):
    step = about["exercises"]["sgd"]["sgd_step"]
    assert (step.asked, step.whole) == (26, 26 - 4 - 2 - 1 - 1)
    assert step.share == pytest.approx(step.earned / (26 * 2))
    adam = about["exercises"]["adam"]["adam_step"]
    assert (adam.asked, adam.whole) == (23, 23 - 3 - 1)
    for function in step, adam:
        assert len(function.aspects) >= 2
        assert sum(a.points for a in function.aspects.values()) == pytest.approx(function.points)
        assert {a.asked for a in function.aspects.values()} == {function.asked}
    assert sum(a.earned for a in adam.aspects.values()) == pytest.approx(adam.earned)
    why = about["exercises"]["sgd"]["why"]
    assert (why.asked, why.waiting, why.whole, why.earned) == (26, 24, 1, 3.5)
    assert why.share == 3.5 / 4


def test_mistakes_are_counted_by_name(about):
    found = [(f.piece, f.function, f.name, len(f.who)) for f in about["findings"]["mistake"]]
    assert found == [
        ("sgd", "sgd_step", "uphill", 4),
        ("adam", "adam_step", "eps_inside_the_root", 3),
    ]
    assert about["findings"]["mistake"][0].who == [FORMULA, "uphill1", "uphill2", "uphill3"]
    assert "points uphill" in about["findings"]["mistake"][0].sentence


def test_new_mistakes_stand_together_when_only_names_and_comments_differ(about):
    (new,) = about["findings"]["new"]
    assert (new.function, new.who) == ("sgd_step", ["new1", "new2"])
    assert new.specimen == NEW.format("a")
    assert [(f.function, f.who) for f in about["findings"]["blank"]] == [
        (function, ["blank"])
        for function in (
            "adam_step", "adamw_step", "momentum_step", "nesterov_step", "minibatch_gradient",
            "sgd_step",
        )
    ]  # fmt: skip


def test_an_answer_that_uses_a_library_is_neither_new_nor_blank():
    refused = {"earned": 0.0, "points": 2.0, "mistake": None, "review": False, "aspects": []}
    assert tally.kind(refused | {"sentence": "Code cell 3 uses `optlib`"}) == "refused"


def test_who_was_stopped_and_who_needs_a_person(about):
    (sentence,) = about["stopped"]
    assert sentence == "A cell was stopped: it did not finish within 20 seconds."
    assert about["stopped"][sentence] == ["loop (sgd)"]
    people = about["people"]
    assert list(people)[0] == ("error", "no space left on device")
    assert people["error", "no space left on device"] == ["broken (adam)"]
    damaged = "damaged", "adam.ipynb is damaged or cut off: no Jupyter notebook."
    assert people[damaged] == ["damaged (adam)"]
    (of_loop,) = [who for (_, why), who in people.items() if why.startswith("`sgd_step` is not")]
    assert of_loop == ["loop (sgd)"]
    assert people["not graded", "Not graded yet."] == ["handed-in-later (adam, momentum, sgd)"]
    assert len(people) == 4
    assert about["missing"] == {"adam": ["absent"], "everything": ["nobody"]}


def test_a_copied_answer_is_found_and_the_books_own_is_not(about):
    ((members, pairs),) = about["rings"]
    assert members == ["copy1", "copy2"]
    assert {part.name for part in pairs[0].parts} >= {"adam_step", "why"}


def test_how_it_was_graded(about):
    assert about["jails"] == {"bubblewrap": 3 * 26 - 2, "none": 1}
    assert about["seconds"] == (0.25, 0.25)
    assert about["when"]
    assert any(v.startswith("nbgrader ") for v in about["versions"])


def test_a_mark_that_a_person_gave_settles_what_was_asked(course, tmp_path):
    for name in ("gradebook.db",):
        shutil.copy(course.root / name, tmp_path / name)
    other = Course(tmp_path)
    with NbGradebook(other.db_url, other.folders.course_id) as book:
        for name, score in ("adam_step_hidden", 4.0), ("adamw_step_hidden", 3.0), ("why", 0.0):
            grade = book.find_grade(name, "adam", SECTION, "damaged")
            grade.manual_score, grade.needs_manual_grade = score, False
        book.db.commit()
    rows = {row.student: row for row in report.gathered(other, SECTION)["rows"]}
    assert rows["right1"].marks["adam"].reason == ""
    assert rows["right3"].marks["adam"].reason == "To be marked by hand: why."
    assert rows["damaged"].marks["adam"] == tally.Mark(7.0, 9.0, "graded")
    assert rows["damaged"].total == 18


def test_what_plain_nbgrader_marked_is_reported_too(course, tmp_path):
    shutil.copy(course.root / "gradebook.db", tmp_path / "gradebook.db")
    shutil.copytree(course.root / "submitted", tmp_path / "submitted")
    with sqlite3.connect(tmp_path / "gradebook.db") as db:
        db.execute("DELETE FROM grader_outcome")
    about = report.gathered(Course(tmp_path), SECTION)
    rows = {row.student: row for row in about["rows"]}
    assert rows["right2"].total == 22.5
    assert rows["loop"].marks["sgd"].state == "needs a person"
    assert rows["loop"].marks["sgd"].reason == "To be looked at again: sgd_step_hidden."
    assert rows["broken"].marks["adam"].state == "not graded"
    assert report.html(about) and report.terminal(about)


# The page


class Reader(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attributes]
        if tag not in ("meta", "br", "rect", "line", "polyline", "path", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_asks_for_nothing(page):
    read = Reader(page)
    assert read.open == []
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(read.tags)
    for tag, name, value in read.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "action", "data", "srcset", "xlink:href"):
            assert tag == "a" and value.startswith("#"), (tag, name, value)
    assert not re.search(r"url\(|@import", page)
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page


def test_links_within_the_page_lead_somewhere(page):
    read = Reader(page)
    ids = [v for _, n, v in read.attributes if n == "id"]
    assert len(ids) == len(set(ids))
    assert {v[1:] for t, n, v in read.attributes if n == "href"} <= set(ids)


def test_every_table_has_a_caption_and_heads(page):
    for found in re.findall(r"<table>.*?</table>", page, re.DOTALL):
        assert found.startswith("<table><caption>")
        assert 'scope="col"' in found.split("</thead>")[0]


def test_what_students_wrote_is_escaped(page):
    assert SCRIPT not in page
    assert html.escape(SCRIPT) in page


def test_the_page_says_what_was_counted(page):
    text = " ".join(" ".join(Reader(page).text).split())
    assert "You add the gradient, and the gradient points uphill" in text
    assert "eps_inside_the_root" in text
    assert "no space left on device" in text
    assert "it did not finish within 20 seconds" in text
    assert "copy1, copy2" in text
    assert "1 notebook without a jail" in text
    assert "69 written answers still to be marked" in text


def test_a_mistake_is_shown_with_its_picture(page):
    assert page.count('aria-label="sgd_step: first weight over step; expected, and yours"') == 1


def test_light_and_dark_and_narrow(page):
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in page
    assert '<meta name="color-scheme" content="light dark">' in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize(
    "scheme, paper", [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 23, 27)")]
)
def test_the_page_in_a_browser(chromium, page, tmp_path, width, scheme, paper):
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    tab = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, complaints = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto((tmp_path / "report.html").as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert len(asked) == 1 and complaints == []
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    cut = tab.evaluate(
        "[...document.querySelectorAll('td, th')].filter(c => c.scrollWidth > c.clientWidth + 1"
        " && c.clientWidth > 1 && getComputedStyle(c).display != 'inline').length"
    )
    assert cut == 0
    tab.close()


def test_letters_that_act_on_the_reader_are_replaced():
    assert (
        report.printable("a\x1b[31mb\u202ec\ud800d\n\te\x00")
        == "a\ufffd[31mb\ufffdc\ufffdd\n\te\ufffd"
    )


# The terminal


def test_the_terminal_says_the_same_and_fits(about):
    shown = report.terminal(about, 100)
    assert max(map(len, shown.splitlines())) <= 100
    for words in (
        "graded 22", "sgd_step: uphill", "eps_inside_the_root", "no space left on device",
        "copy1, copy2", "WITHOUT A JAIL", "18 of 26",
    ):  # fmt: skip
        assert words in shown, words
    assert "\x1b" not in shown and "\u202e" not in shown
    assert report.terminal(about, 60)


# The table for the LMS


def test_the_table_is_read_back(table, about):
    assert len(table) == len(about["rows"]) == 28
    right = table["right2"]
    assert (right["score"], right["max_score"], right["raw_score"]) == ("22.5", "24", "22.5")
    assert (right["status"], right["reason"]) == ("graded", "")
    assert (right["adam"], right["adam max"], right["adam status"]) == ("8.5", "9", "graded")
    assert (table["late"]["score"], table["late"]["late_submission_penalty"]) == ("15", "3")
    assert table["nobody"]["last_name"] == "Body, @home"
    assert table["nobody"]["lms_user_id"] == "0042"


def test_no_zero_without_its_reason(table):
    for who, row in table.items():
        if row["score"] in ("", "0"):
            assert row["reason"], who
    assert "`adam_step` is not written yet" in table["blank"]["reason"]
    assert table["broken"]["score"] == table["broken"]["adam"] == ""
    assert table["broken"]["status"] == "error"
    assert table["broken"]["reason"].startswith("adam: no space left on device")
    assert table["handed-in-later"]["score"] == ""
    assert table["nobody"]["reason"] == "Nothing handed in."


def test_no_cell_is_a_formula_and_numbers_stay(table):
    assert f"'{FORMULA}" in table and FORMULA not in table
    assert {"007", "-12"} <= set(table)
    assert table["right1"]["first_name"] == "+1"  # a number is no formula
    assert "\u202e" not in table["right1"]["last_name"]
    for row in table.values():
        for value in row.values():
            assert not re.match(r"[=+@\t\r-]", value) or report.NUMBER.fullmatch(value), value


@pytest.mark.parametrize(
    "text, shown",
    [
        ("=1+1", "'=1+1"),
        ("+1+cmd", "'+1+cmd"),
        ("-2-3", "'-2-3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        (" =1", "'=1"),
        ("\tplain", "'plain"),
        ("\uff1d1", "'\uff1d1"),
        ("-5", "-5"),
        ("+49170", "+49170"),
        ("007", "007"),
        ("anna@x.org", "anna@x.org"),
        ("two\nlines", "two lines"),
        (None, ""),
        (2.0, 2),
        (1 / 3, 0.3333),
    ],
)
def test_a_cell(text, shown):
    assert report.cell(text) == shown


# The command


def test_the_command_writes_both_files_and_says_where(course, capsys, monkeypatch):
    monkeypatch.chdir(course.root)
    assert report.main(SECTION, course.root) == 0
    shown = capsys.readouterr().out
    assert "reports/optimizers.html" in shown and "reports/optimizers.csv" in shown
    assert (course.root / "reports" / "optimizers.html").read_text().startswith("<!DOCTYPE html>")
    with open(course.root / "reports" / "optimizers.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 28


def test_the_command_without_a_gradebook_says_so_and_makes_none(tmp_path, capsys):
    assert report.main(SECTION, tmp_path) == 1
    assert "here is no gradebook" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_reports_are_not_committed():
    assert "reports/" in (ROOT / ".gitignore").read_text().splitlines()
