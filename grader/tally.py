"""What came of a class, counted: from the grader's outcomes and nbgrader's marks."""

import re
from collections import Counter
from dataclasses import dataclass, field

import sqlalchemy as sql
from nbgrader import api

from grader import likeness

# From the one that a teacher must look at first to the one that needs nothing.
STATES = ("error", "not graded", "damaged", "missing", "needs a person", "graded")
WITHOUT_A_MARK = STATES[:2]  # about the machine: no number stands for these
BLANK = re.compile(r"is not written yet:|^There is no `")
MISSING = re.compile(r"^No \S+ was handed in\.$")


@dataclass
class Mark:
    """One notebook of one student."""

    score: float | None
    points: float
    state: str
    reason: str = ""


@dataclass
class Row:
    """One student."""

    student: str
    names: dict = field(default_factory=dict)  # as the gradebook has them
    marks: dict = field(default_factory=dict)  # piece -> Mark
    penalty: float = 0.0

    @property
    def state(self):
        return min((m.state for m in self.marks.values()), key=STATES.index)

    @property
    def reason(self):
        said = {p: m.reason for p, m in self.marks.items() if m.reason}
        if len(set(said.values())) == 1 and len(said) == len(self.marks) > 1:
            return next(iter(said.values()))
        return "; ".join(f"{piece}: {reason}" for piece, reason in said.items())

    @property
    def points(self):
        return sum(m.points for m in self.marks.values())

    @property
    def raw(self):
        """The marks before what being late costs; None while a notebook has none."""
        if any(m.state in WITHOUT_A_MARK for m in self.marks.values()):
            return None
        return sum(m.score or 0.0 for m in self.marks.values())

    @property
    def total(self):
        return None if self.raw is None else max(0.0, self.raw - self.penalty)


# The gradebook


@dataclass
class Gradebook:
    """What nbgrader knows of a section."""

    students: dict = field(default_factory=dict)  # id -> names
    points: dict = field(default_factory=dict)  # piece -> marks there are
    penalties: dict = field(default_factory=dict)  # (student, piece) -> marks taken off
    cells: dict = field(default_factory=dict)  # (student, piece) -> of Cell


@dataclass(frozen=True)
class Cell:
    name: str
    points: float
    score: float
    machine: float | None
    person: float | None
    look: bool  # a person should


def read_gradebook(engine, section):
    """The marks of a section, people's included."""
    book = Gradebook()
    with engine.connect() as db:
        names = (api.Student.first_name, api.Student.last_name, api.Student.email)
        for who, *theirs, lms in db.execute(
            sql.select(api.Student.id, *names, api.Student.lms_user_id)
        ):
            about = zip(("first_name", "last_name", "email", "lms_user_id"), (*theirs, lms))
            book.students[who] = {key: value or "" for key, value in about}
        for piece, points in db.execute(
            sql.select(api.Notebook.name, sql.func.sum(api.GradeCell.max_score))
            .join(api.GradeCell, api.GradeCell.notebook_id == api.Notebook.id)
            .where(api.Notebook.assignment.has(name=section))
            .group_by(api.Notebook.name)
        ):
            book.points[piece] = points or 0.0
        handed_in = (
            sql.select(api.SubmittedAssignment.student_id, api.Notebook.name)
            .select_from(api.SubmittedNotebook)
            .join(api.SubmittedNotebook.assignment)
            .join(api.SubmittedNotebook.notebook)
            .where(api.SubmittedAssignment.assignment.has(name=section))
        )
        penalty = api.SubmittedNotebook.late_submission_penalty
        for student, piece, taken in db.execute(handed_in.add_columns(penalty)):
            book.penalties[student, piece] = taken or 0.0
        cell, grade = api.GradeCell, api.Grade
        rows = handed_in.join(grade, grade.notebook_id == api.SubmittedNotebook.id)
        rows = rows.join(cell, cell.id == grade.cell_id).add_columns(
            cell.name, cell.max_score, grade.score, grade.auto_score, grade.manual_score,
            grade.needs_manual_grade,
        )  # fmt: skip
        for student, piece, *about in db.execute(rows):
            book.cells.setdefault((student, piece), []).append(Cell(*about))
    return book


def rows(book, outcomes, handed_in):
    """A Row for every student of the gradebook, and for whoever handed in beside them."""
    told = {(o["student"], o["notebook"]): o for o in outcomes}
    everybody = {*book.students, *handed_in, *(student for student, _ in told)}
    found = []
    for student in sorted(everybody):
        row = Row(student, book.students.get(student, {}))
        for piece, points in sorted(book.points.items()):
            cells = book.cells.get((student, piece), [])
            state, reason = _state(told.get((student, piece)), cells, student in handed_in)
            score = None if state in WITHOUT_A_MARK else sum(c.score for c in cells)
            row.marks[piece] = Mark(score, points, state, reason)
            row.penalty += book.penalties.get((student, piece), 0.0)
        found.append(row)
    return found


def _state(outcome, cells, handed_in):
    """One of STATES, and why."""
    if outcome is None and all(c.machine is None and c.person is None for c in cells):
        return ("not graded", "Not graded yet.") if handed_in else ("missing", "Nothing handed in.")
    if outcome and outcome["state"] == "error":
        return "error", outcome["reason"]
    look = [c for c in cells if c.look]
    verdicts = {v["grade_id"]: v for v in outcome["verdicts"]} if outcome else {}
    by_hand = [c.name for c in look if c.machine is None and c.name not in verdicts]
    if outcome and outcome["unreadable"] and look:
        said = [v["sentence"] for v in outcome["verdicts"]] or outcome["notes"]
        return ("missing" if MISSING.match(said[0]) else "damaged"), said[0]
    doubtful = [verdicts[c.name] for c in look if c.name in verdicts]
    if doubtful:
        said = [v["sentence"] for v in doubtful if v["review"]] or outcome["notes"]
        return "needs a person", " ".join(dict.fromkeys(said or [doubtful[0]["sentence"]]))
    if len(look) > len(by_hand):
        asked = (c.name for c in look if c.name not in by_hand)
        return "needs a person", f"To be looked at again: {', '.join(asked)}."
    reason = [f"To be marked by hand: {', '.join(by_hand)}."] if by_hand else []
    if not sum(c.score for c in cells):  # a zero says why
        reason += dict.fromkeys(v["sentence"] for v in verdicts.values() if not v["earned"])
    return "graded", " ".join(reason)


# The class


def spread(found):
    """How many students have a share of the marks in each tenth; only those with a number."""
    bins = [0] * 10
    for share in shares(found):
        bins[min(9, int(share * 10 + 1e-9))] += 1
    return bins


def shares(found):
    """The part of all marks that each student has, late penalties taken off."""
    there = [r for r in found if r.total is not None and r.points]
    there = [r for r in there if any(m.state != "missing" for m in r.marks.values())]
    return sorted(min(1.0, r.total / r.points) for r in there)


@dataclass
class Share:
    """Of a function, an aspect or a written answer: how many have all of it, and of its marks."""

    name: str
    points: float
    asked: int = 0
    whole: int = 0
    earned: float = 0.0
    waiting: int = 0  # not marked yet
    aspects: dict = field(default_factory=dict)

    @property
    def share(self):
        asked = (self.asked - self.waiting) * self.points
        return self.earned / asked if asked else None  # nobody is marked yet

    def add(self, earned):
        self.asked += 1
        self.earned += earned
        self.whole += earned >= self.points - 1e-9


def exercises(book, outcomes):
    """Piece -> function or written answer -> Share, as the machine and people marked them."""
    found = {piece: {} for piece in sorted(book.points)}
    for o in _read(outcomes):
        functions = found.setdefault(o["notebook"], {})
        for v in o["verdicts"]:
            function = functions.setdefault(v["function"], Share(v["function"], v["points"]))
            function.add(v["earned"])
            for a in v["aspects"]:
                share = function.aspects.setdefault(a["name"], Share(a["name"], a["points"]))
                share.add(a["earned"])
    _count_the_unasked(found)
    read = {(o["student"], o["notebook"]): o for o in _read(outcomes)}
    for (_, piece), cells in ((k, c) for k, c in book.cells.items() if k in read):
        judged = {v["grade_id"] for v in read[_, piece]["verdicts"]}
        for cell in cells:
            if cell.name in judged:
                continue
            share = found[piece].setdefault(cell.name, Share(cell.name, cell.points))
            share.add(cell.score)
            share.waiting += cell.look
    return found


def _count_the_unasked(found):
    """An answer that was never asked has no aspects: it has none of them."""
    for functions in found.values():
        for function in functions.values():
            for aspect in function.aspects.values():
                aspect.asked = function.asked


def _read(outcomes):
    """The outcomes of notebooks that could be opened and were judged."""
    return [o for o in outcomes if o["state"] == "graded" and not o["unreadable"]]


# The answers


@dataclass
class Finding:
    """Something that several students have in common."""

    piece: str
    function: str
    sentence: str
    name: str = ""
    who: list = field(default_factory=list)
    specimen: str = ""


def kind(verdict):
    """right, mistake (a catalogued one), person, refused, blank or new."""
    if verdict["earned"] >= verdict["points"] - 1e-9:
        return "right"
    if verdict["mistake"]:
        return "mistake"
    if verdict["review"]:
        return "person"
    if BLANK.search(verdict["sentence"]):
        return "blank"
    return "new" if verdict["aspects"] else "refused"


def findings(outcomes, answers):
    """Kind of a wrong answer -> its Findings, those of the most students first.

    A catalogued mistake is known by its name; a new one by the answer's code, names and formatting
    aside, so that students who did the same stand together.
    """
    found = {name: {} for name in ("mistake", "new", "blank", "refused")}
    for o in _read(outcomes):
        for v in o["verdicts"]:
            sort, piece, function = kind(v), o["notebook"], v["function"]
            if sort not in found:
                continue
            theirs = answers.get(piece, {}).get(o["student"])
            source = theirs.code.get(function, "") if theirs and sort == "new" else ""
            same = {
                "mistake": v["mistake"],
                "new": likeness.tokens(source) if source else v["sentence"],
                "blank": v["sentence"],
                "refused": v["sentence"],
            }[sort]
            new = Finding(piece, function, v["sentence"], v["mistake"] or "", specimen=source)
            found[sort].setdefault((piece, function, same), new).who.append(o["student"])
    return {
        sort: sorted(each.values(), key=lambda f: (-len(f.who), f.piece, f.function, f.name))
        for sort, each in found.items()
    }


def stopped(outcomes):
    """What the jail stopped: sentence -> who, with the notebooks."""
    return _grouped(
        (stop, o["student"], o["notebook"])
        for o in outcomes
        for stop in dict.fromkeys(o.get("stops", ()))
    )


def people(found):
    """Who needs a person: state and reason -> who, with the notebooks; the gravest first."""
    groups = _grouped(
        ((mark.state, mark.reason), row.student, piece)
        for row in found
        for piece, mark in row.marks.items()
        if mark.state not in ("graded", "missing")
    )
    return dict(sorted(groups.items(), key=lambda item: STATES.index(item[0][0])))


def missing(found):
    """Who did not hand in: all, or which notebooks."""
    groups = {}
    for row in found:
        gone = [piece for piece, mark in row.marks.items() if mark.state == "missing"]
        if gone:
            name = "everything" if len(gone) == len(row.marks) else ", ".join(gone)
            groups.setdefault(name, []).append(row.student)
    return groups


def states(found):
    """How many students are in each state."""
    count = Counter(row.state for row in found)
    return {state: count[state] for state in reversed(STATES) if count[state]}


def _grouped(items):
    groups = {}
    for name, student, piece in items:
        groups.setdefault(name, {}).setdefault(student, []).append(piece)
    groups = {
        name: [f"{student} ({', '.join(theirs)})" for student, theirs in who.items()]
        for name, who in groups.items()
    }
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def rings(pairs):
    """Pairs that hang together: lists of students with the pairs among them."""
    found = []
    for pair in pairs:
        touched = [r for r in found if {pair.one, pair.other} & r[0]]
        found = [r for r in found if r not in touched]
        members = {pair.one, pair.other}.union(*(r[0] for r in touched))
        found.append((members, [p for r in touched for p in r[1]] + [pair]))
    found = [(sorted(m), sorted(ps, key=lambda p: -p.closer)) for m, ps in found]
    return sorted(found, key=lambda r: -r[1][0].closer)
