"""The gradebook's one writer: nbgrader's own tables, and one of ours, in the same transaction.

What nbgrader's preprocessors write notebook by notebook is written here for many notebooks at once.
A row of `grader_outcome` says what became of one notebook of one student, and the key of all that
the result depends on: it is there exactly when the marks are, so a run that was killed goes on
where it stopped.
"""

import contextlib
import copy
import json
import sqlite3
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import sqlalchemy as sql
from nbgrader import api, utils
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from grader.course import CourseError, pieces
from grader.exercise import ROOT
from grader.submission import released

OUTCOME = sql.Table(
    "grader_outcome",
    sql.MetaData(),
    sql.Column("assignment", sql.String(128), primary_key=True),
    sql.Column("notebook", sql.String(128), primary_key=True),
    sql.Column("student", sql.String(128), primary_key=True),
    sql.Column("key", sql.String(128), nullable=False),
    sql.Column("outcome", sql.Text, nullable=False),
)
PATIENCE = 5  # times a locked database is tried again, each after a longer pause
ASSIGNMENT, NOTEBOOK, CELL = (
    api.Assignment.__table__,
    api.Notebook.__table__,
    api.BaseCell.__table__,
)
STUDENT, SUBMISSION = api.Student.__table__, api.SubmittedAssignment.__table__
SUBMITTED, GRADE, COMMENT = (t.__table__ for t in (api.SubmittedNotebook, api.Grade, api.Comment))


@dataclass
class Marks:
    """What nbgrader's SaveAutoGrades writes for one notebook."""

    scores: dict  # grade_id -> marks, None where a person gives them
    comments: dict  # grade_id of an answer -> nbgrader's own comment, or None
    review: list = field(default_factory=list)  # grade_ids that a person must look at


def marks(notebook, review=()):
    """Read the marks off a graded notebook, by nbgrader's own rules."""
    scores, comments = {}, {}
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if utils.is_grade(cell):
            scores[grade_id] = utils.determine_grade(cell)[0]
        if utils.is_solution(cell):
            untouched = cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
            comments[grade_id] = "No response." if untouched else None
    return Marks(scores, comments, list(review))


@dataclass
class Given:
    """What people have written into the gradebook for one notebook: it is kept, and shown."""

    scores: dict = field(default_factory=dict)  # grade_id -> [manual score, extra credit]
    comments: dict = field(default_factory=dict)  # grade_id -> comment
    late: float = 0.0  # seconds
    policy: str = ""  # for who is late: nbgrader's settings

    def text(self):
        return json.dumps(asdict(self), sort_keys=True)


@dataclass
class Entry:
    """What is to be recorded of one notebook."""

    student: str
    piece: str
    key: str
    outcome: dict | None  # None: it stays as it is, and so do the marks
    marks: Marks | None
    penalty: float | None
    timestamp: object = None  # when it was handed in, if that is known


def parsed(stamp):
    """The time in a timestamp's text, in UTC; None where there is none or nobody can read it."""
    try:
        return utils.parse_utc(stamp) if stamp else None
    except (ValueError, OverflowError):
        return None


class Gradebook:
    """One section of a course in its gradebook. `with Gradebook(course, section) as book: ...`"""

    def __init__(self, course, section):
        self.section = section
        self.nbgrader = _opened(course)
        self.engine = self.nbgrader.engine
        OUTCOME.metadata.create_all(self.engine)
        if not self._current():
            _record(course, section)
        self._read_cells()
        self.submitted = {}  # student -> piece -> id
        self.grades, self.comments = {}, {}  # (id of the submitted notebook, id of the cell) -> id
        self._read_submissions()
        self.waiting = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.nbgrader.close()

    # --- The exercise

    def _current(self):
        """Whether the gradebook knows the section's notebooks, their graded cells and points."""
        rows = self._rows(
            sql.select(NOTEBOOK.c.name, api.SourceCell.name, api.SourceCell.checksum)
            .join(ASSIGNMENT, ASSIGNMENT.c.id == NOTEBOOK.c.assignment_id)
            .join(api.SourceCell, api.SourceCell.notebook_id == NOTEBOOK.c.id)
            .where(ASSIGNMENT.c.name == self.section)
        )
        wanted = {
            (piece, cell.metadata.nbgrader.grade_id, utils.compute_checksum(cell))
            for piece in pieces(self.section)
            for cell in released(self.section, piece).cells
            if "nbgrader" in cell.metadata
        }
        return set(rows) == wanted

    def _read_cells(self):
        found = self._rows(
            sql.select(ASSIGNMENT.c.id, ASSIGNMENT.c.duedate).where(
                ASSIGNMENT.c.name == self.section
            )
        )
        self.assignment, self.duedate = found[0]
        self.notebooks = dict(
            self._rows(
                sql.select(NOTEBOOK.c.name, NOTEBOOK.c.id).where(
                    NOTEBOOK.c.assignment_id == self.assignment
                )
            )
        )
        rows = self._rows(
            sql.select(CELL.c.notebook_id, CELL.c.type, CELL.c.name, CELL.c.id).where(
                CELL.c.notebook_id.in_(list(self.notebooks.values()))
            )
        )
        self.graded = {piece: {} for piece in self.notebooks}  # piece -> grade_id -> id of the cell
        self.answers = {piece: {} for piece in self.notebooks}
        names = {number: piece for piece, number in self.notebooks.items()}
        for notebook, kind, name, number in rows:
            if kind in ("GradeCell", "TaskCell"):
                self.graded[names[notebook]][name] = number
            if kind in ("SolutionCell", "TaskCell"):
                self.answers[names[notebook]][name] = number

    # --- The class

    def _read_submissions(self, student=None):
        query = (
            sql.select(SUBMISSION.c.student_id, SUBMITTED.c.notebook_id, SUBMITTED.c.id)
            .join(SUBMITTED, SUBMITTED.c.assignment_id == SUBMISSION.c.id)
            .where(SUBMISSION.c.assignment_id == self.assignment)
        )
        names = {number: piece for piece, number in self.notebooks.items()}
        for who, notebook, number in self._rows(_of(query, SUBMISSION.c.student_id, student)):
            self.submitted.setdefault(who, {})[names[notebook]] = number
        for table, ids in (GRADE, self.grades), (COMMENT, self.comments):
            query = (
                sql.select(table.c.notebook_id, table.c.cell_id, table.c.id)
                .join(SUBMITTED, SUBMITTED.c.id == table.c.notebook_id)
                .join(SUBMISSION, SUBMISSION.c.id == SUBMITTED.c.assignment_id)
                .where(SUBMISSION.c.assignment_id == self.assignment)
            )
            for notebook, cell, number in self._rows(_of(query, SUBMISSION.c.student_id, student)):
                ids[notebook, cell] = number

    def given(self, student=None):
        """(student, piece) -> Given, and student -> when the submission was handed in."""
        found = {(s, p): Given() for s, theirs in self.submitted.items() for p in theirs}
        who = {number: (s, p) for s, ids in self.submitted.items() for p, number in ids.items()}
        names = {n: name for cells in self.graded.values() for name, n in cells.items()}
        names |= {n: name for cells in self.answers.values() for name, n in cells.items()}
        score, credit, words = GRADE.c.manual_score, GRADE.c.extra_credit, COMMENT.c.manual_comment
        for row in self._of_section(
            sql.select(GRADE.c.notebook_id, GRADE.c.cell_id, score, credit), GRADE, student,
            sql.or_(score.is_not(None), credit.is_not(None)),
        ):  # fmt: skip
            found[who[row[0]]].scores[names[row[1]]] = [row[2], row[3]]
        for row in self._of_section(
            sql.select(COMMENT.c.notebook_id, COMMENT.c.cell_id, words), COMMENT, student,
            words.is_not(None),
        ):  # fmt: skip
            found[who[row[0]]].comments[names[row[1]]] = row[2]
        query = sql.select(
            SUBMISSION.c.student_id, SUBMISSION.c.timestamp, SUBMISSION.c.extension
        ).where(SUBMISSION.c.assignment_id == self.assignment)
        rows = self._rows(_of(query, SUBMISSION.c.student_id, student))
        return found, {who: (timestamp, extension) for who, timestamp, extension in rows}

    def _of_section(self, query, table, student, condition):
        query = (
            query.join(SUBMITTED, SUBMITTED.c.id == table.c.notebook_id)
            .join(SUBMISSION, SUBMISSION.c.id == SUBMITTED.c.assignment_id)
            .where(SUBMISSION.c.assignment_id == self.assignment, condition)
        )
        return self._rows(_of(query, SUBMISSION.c.student_id, student))

    def seconds_late(self, timestamp, extension):
        """As nbgrader counts them."""
        if timestamp is None or self.duedate is None:
            return 0.0
        due = self.duedate + extension if extension else self.duedate
        return max(0.0, (timestamp - due).total_seconds())

    def keys(self):
        """(student, piece) -> key of the result that the gradebook holds."""
        rows = self._rows(
            sql.select(OUTCOME.c.student, OUTCOME.c.notebook, OUTCOME.c.key).where(
                OUTCOME.c.assignment == self.section
            )
        )
        return {(s, p): key for s, p, key in rows if p in self.submitted.get(s, {})}

    # --- Writing

    def add(self, entry):
        """Keep an entry for the next transaction."""
        self.waiting.append(entry)

    def flush(self):
        """Write all that waits, in one transaction; returns the entries written."""
        entries, self.waiting = self.waiting, []
        if not entries:
            return []
        for attempt in range(PATIENCE):
            try:
                self._write(entries)
                return entries
            except IntegrityError:  # somebody else has made the submission since we looked
                if attempt:
                    raise
                for entry in entries:
                    self._read_submissions(entry.student)
            except OperationalError:
                if attempt == PATIENCE - 1:
                    raise
                time.sleep(attempt + 0.2)
        raise AssertionError

    def _write(self, entries):
        with self.engine.begin() as db:
            new = {e.student: e for e in entries if e.student not in self.submitted}
            made = self._make(db, new.values()) if new else {}
            submitted = self.submitted | made
            _many(
                db,
                sql.update(SUBMISSION)
                .where(
                    SUBMISSION.c.assignment_id == self.assignment,
                    SUBMISSION.c.student_id == sql.bindparam("who"),
                )
                .values(timestamp=sql.bindparam("when")),
                [{"who": e.student, "when": e.timestamp} for e in entries if e.timestamp],
            )
            _many(
                db,
                sql.update(SUBMITTED)
                .where(SUBMITTED.c.id == sql.bindparam("number"))
                .values(late_submission_penalty=sql.bindparam("penalty")),
                [{"number": submitted[e.student][e.piece], "penalty": e.penalty} for e in entries],
            )
            self._write_marks(db, [e for e in entries if e.marks], submitted)
            self._write_outcomes(db, entries)
        self.submitted = submitted

    def _write_outcomes(self, db, entries):
        places = [{"a": self.section, "n": e.piece, "s": e.student, "k": e.key} for e in entries]
        here = sql.and_(
            OUTCOME.c.assignment == sql.bindparam("a"),
            OUTCOME.c.notebook == sql.bindparam("n"),
            OUTCOME.c.student == sql.bindparam("s"),
        )
        whole = [(place, e) for place, e in zip(places, entries) if e.outcome]
        pages = [place for place, e in zip(places, entries) if not e.outcome]
        _many(db, sql.update(OUTCOME).where(here).values(key=sql.bindparam("k")), pages)
        _many(db, sql.delete(OUTCOME).where(here), [place for place, _ in whole])
        rows = [
            {"assignment": self.section, "notebook": e.piece, "student": e.student, "key": e.key,
             "outcome": json.dumps(e.outcome)}
            for _, e in whole
        ]  # fmt: skip
        _many(db, sql.insert(OUTCOME), rows)

    def _write_marks(self, db, entries, submitted):
        scores, comments = [], []
        for e in entries:
            number = submitted[e.student][e.piece]
            scores += [
                {"number": self.grades[number, self.graded[e.piece][name]], "score": score,
                 "look": score is None or name in e.marks.review}
                for name, score in e.marks.scores.items()
            ]  # fmt: skip
            comments += [
                {"number": self.comments[number, self.answers[e.piece][name]], "words": words}
                for name, words in e.marks.comments.items()
            ]
        # A mark that a person gave stays, and nbgrader asks for another look at it.
        look = sql.case((GRADE.c.manual_score.is_not(None), True), else_=sql.bindparam("look"))
        _many(
            db,
            sql.update(GRADE)
            .where(GRADE.c.id == sql.bindparam("number"))
            .values(auto_score=sql.bindparam("score"), needs_manual_grade=look),
            scores,
        )
        _many(
            db,
            sql.update(COMMENT)
            .where(COMMENT.c.id == sql.bindparam("number"))
            .values(auto_comment=sql.bindparam("words")),
            comments,
        )

    def _make(self, db, entries):
        """What the gradebook does not know yet of these students, mirrored as nbgrader does."""
        wanted = [entry.student for entry in entries]
        known = set(db.scalars(sql.select(STUDENT.c.id).where(STUDENT.c.id.in_(wanted))))
        students = [{"id": who} for who in wanted if who not in known]
        submissions, notebooks, grades, comments, made = [], [], [], [], {}
        for who in wanted:
            submission = api.new_uuid()
            submissions.append(
                {"id": submission, "assignment_id": self.assignment, "student_id": who}
            )
            made[who] = {}
            for piece, notebook in self.notebooks.items():
                number = made[who][piece] = api.new_uuid()
                notebooks.append(
                    {"id": number, "assignment_id": submission, "notebook_id": notebook,
                     "flagged": False}
                )  # fmt: skip
                for cells, rows, ids, more in (
                    (self.graded[piece], grades, self.grades, {"needs_manual_grade": True}),
                    (self.answers[piece], comments, self.comments, {}),
                ):
                    for cell in cells.values():
                        row = ids[number, cell] = api.new_uuid()
                        rows.append({"id": row, "cell_id": cell, "notebook_id": number} | more)
        tables = STUDENT, SUBMISSION, SUBMITTED, GRADE, COMMENT
        for table, rows in zip(tables, (students, submissions, notebooks, grades, comments)):
            _many(db, sql.insert(table), rows)
        return made

    def _rows(self, query):
        with self.engine.connect() as db:
            return [tuple(row) for row in db.execute(query)]


def _opened(course):
    """nbgrader's gradebook of a course; raises CourseError where there can be none."""
    try:
        url = sql.make_url(course.db_url)
        if url.get_backend_name() == "sqlite":
            _back_up(url.database)
        return api.Gradebook(course.db_url, course.folders.course_id)
    except ArgumentError as error:
        raise CourseError(
            f"{course.db_url!r} is no address of a database, as sqlite:///gradebook.db "
            "or postgresql+psycopg://user@host/name are"
        ) from error
    except ModuleNotFoundError as error:
        raise CourseError(
            f"a gradebook at {url.render_as_string()} needs the Python module {error.name}, "
            f"which is not installed for {sys.executable}"
        ) from error
    except OperationalError as error:
        raise CourseError(f"the gradebook cannot be opened: {error.orig}") from error


def outcomes(db_url, section):
    """What became of every notebook of a section, in the order of students and notebooks."""
    engine = sql.create_engine(db_url)
    try:
        OUTCOME.metadata.create_all(engine)
        with engine.connect() as db:
            rows = db.scalars(
                sql.select(OUTCOME.c.outcome)
                # Whoever was taken out of the course since has no submission any more.
                .join(SUBMISSION, SUBMISSION.c.student_id == OUTCOME.c.student)
                .join(ASSIGNMENT, ASSIGNMENT.c.id == SUBMISSION.c.assignment_id)
                .where(OUTCOME.c.assignment == section, ASSIGNMENT.c.name == section)
                .order_by(OUTCOME.c.student, OUTCOME.c.notebook)
            )
            return [json.loads(row) for row in rows]
    finally:
        engine.dispose()


def _of(query, column, student):
    return query if student is None else query.where(column == student)


def _many(db, statement, rows):
    if rows:
        db.execute(statement, rows)


def _record(course, section):
    """Have nbgrader record the section, as `nbgrader generate_assignment` does.

    The exercises are this repository's, which is what the judge knows, wherever the course lies;
    the release that nbgrader writes on the way is not wanted here.
    """
    config = copy.deepcopy(course.config)
    config.CourseDirectory.update(root=str(ROOT), db_url=course.db_url, assignment_id=section)
    with tempfile.TemporaryDirectory() as folder:
        config.CourseDirectory.release_directory = folder
        folders = CourseDirectory(config=config)
        try:
            GenerateAssignment(coursedir=folders, config=config, force=True).start()
        except NbGraderException as error:
            raise CourseError(
                f"the gradebook holds submissions for another version of {section}: its graded "
                "cells have other names now. Grade with the exercises that they were written "
                f"for, or start a new gradebook ({course.db_url})"
            ) from error


def _back_up(path):
    """Keep a copy of a SQLite gradebook as it was before this run, beside it."""
    if not path or not Path(path).exists():
        return
    old, new = sqlite3.connect(path), sqlite3.connect(f"{path}.bak")
    with contextlib.closing(old), contextlib.closing(new):
        old.backup(new)
