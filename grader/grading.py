"""A run of `python -m grader grade`: what is to be done, doing it, and saying what came of it."""

import contextlib
import logging
import os
import sys
import time
from dataclasses import dataclass, field

import filelock
from tqdm import tqdm

from grader import pool, sandbox
from grader.course import Course, CourseError, content, pieces
from grader.gradebook import Entry, Given, Gradebook, Marks, parsed
from grader.run import RunAndJudge

BATCH, SECONDS = 50, 0.5  # a transaction is made after so many results, or so long
MOST_LINES = 20  # names that are listed at the end
UNJAILED = ".unjailed"  # ends the key of a result that only `--unsafe` lets stand

logging.getLogger("traitlets").setLevel(logging.ERROR)  # nbgrader tells more than a run needs
tqdm.monitor_interval = 0  # no thread beside the one that forks


@dataclass
class Tally:
    """What a run has done so far."""

    graded: int = 0
    shown: int = 0  # pages that were written again because people's marks changed
    same: int = 0  # as the gradebook has it already
    unjailed: int = 0
    errors: dict = field(default_factory=dict)  # (student, notebook) -> reason
    look: dict = field(default_factory=dict)  # (student, notebook) -> why a person should look

    def add(self, result):
        place = result.student, result.piece
        if result.outcome is None:
            self.shown += 1
        elif result.outcome["state"] == "error":
            self.errors[place] = result.outcome["reason"]
        else:
            self.graded += 1
            self.unjailed += result.outcome["jail"] == "none"
            doubtful = [v["sentence"] for v in result.outcome["verdicts"] if v["review"]]
            if doubtful:
                self.look[place] = [*result.outcome["stops"], *doubtful][0]


class Grading:
    """One section of one course: who handed in, and what becomes of it."""

    def __init__(self, course, chosen):
        self.course, self.chosen, self.section = course, chosen, chosen.section
        self.pieces = _among(chosen.notebook, pieces(self.section), "notebook")
        limits = RunAndJudge(config=course.config).limits()
        version = pool.version(self.section)
        self.settings = pool.Settings(limits, chosen.unsafe, course.config, version)
        self.policy = repr({k: v for k, v in sorted(course.config.items()) if "Late" in k})
        self.tally = Tally()
        self.copied = set()  # students whose other files are in their places
        self.busy = set()  # what is being graded

    def open(self, book):
        self.book, self.keys = book, book.keys()

    # --- What is to be done

    def students(self):
        usable, others = self.course.students(self.section)
        for name in others:
            self.tally.errors[ascii(name), "all"] = "no gradebook can hold a name like this"
        return _among(self.chosen.student, usable, "student")

    def wanted(self, students):
        """The tasks that the students' submissions make necessary; all else is as it should be."""
        given, times = self.book.given(students[0] if len(students) == 1 else None)
        for student in students:
            found, stamp = self.course.handed_in(student, self.section)
            before, extension = times.get(student, (None, None))
            when = parsed(stamp)
            if stamp and not when:
                reason = "nobody can read its timestamp: whether it was late is not known"
                self.tally.look[student, "timestamp.txt"] = reason
            late = self.book.seconds_late(when or before, extension)
            for piece in self.pieces:
                theirs = given.get((student, piece)) or Given()
                theirs.late, theirs.policy = late, self.policy if late else ""
                key = pool.key(
                    self.section, piece, found[piece], stamp, self.settings.limits, theirs
                )
                task = pool.Task(student, self.section, piece, key, theirs, found[piece], when)
                if self._due(task):
                    yield task

    def _due(self, task):
        """Whether there is something to do; where only the page is old, the task says so."""
        if self.chosen.again or not self.course.there(task.student, self.section, task.piece):
            return True
        old = self.keys.get((task.student, task.piece), "")
        if old.endswith(UNJAILED) and not self.chosen.unsafe:
            return True
        old = old.removesuffix(UNJAILED)
        task.only_page = old.split(".")[0] == task.key.split(".")[0]
        return old != task.key

    def tasks(self, students):
        """The tasks once more, a submission being read only when its turn has come."""
        for student in students:
            yield from map(self._started, self.wanted([student]))

    def _started(self, task):
        self.busy.add((task.student, task.piece))
        if task.only_page:
            place = self.course.autograded(task.student, self.section) / f"{task.piece}.ipynb"
            task.notebook = content(place)
        return task

    def arrivals(self):
        """The tasks of whoever hands in from now on, and None whenever there is nothing new.

        A submission is graded when it has been the same for two looks: it may still be written.
        """
        seen, done = {}, {}
        while True:
            for student in self.students():
                state = self.course.state(student, self.section)
                steady, seen[student] = seen.get(student) == state, state
                busy = any((student, piece) in self.busy for piece in self.pieces)
                if steady and done.get(student) != state and not busy:
                    done[student] = state
                    yield from map(self._started, self.wanted([student]))
            yield None

    # --- Doing it

    def run(self, place, tasks, told):
        """Have the tasks done at a place; `told` is called with each result."""
        written = time.monotonic()
        try:
            for task, result in pool.results(place, tasks):
                if task:
                    told(self.record(task, result))
                waited = time.monotonic() - written
                if waited > SECONDS or len(self.book.waiting) >= BATCH or not self.busy:
                    self.book.flush()
                    written = time.monotonic()
        finally:
            self.book.flush()

    def record(self, task, result):
        """Put the files in their places, then the entry where the next transaction takes it."""
        student, piece = result.student, result.piece
        try:
            self._put(result)
        except OSError as error:
            result = pool.failed(task, f"its results could not be written: {error}")
        if result.outcome and result.outcome["state"] == "error":
            # Not a zero, and not the marks of an earlier submission either.
            result.marks = Marks(
                dict.fromkeys(self.book.graded[piece]), dict.fromkeys(self.book.answers[piece])
            )
            with contextlib.suppress(OSError):
                self.course.remove(student, self.section, piece)
        key = result.key + UNJAILED * self._unjailed(result)
        self.book.add(
            Entry(student, piece, key, result.outcome, result.marks, result.penalty, task.when)
        )
        self.keys[student, piece] = key
        self.busy.discard((student, piece))
        self.tally.add(result)
        return result

    def _unjailed(self, result):
        if result.outcome is None:  # only its page is new
            return self.keys.get((result.student, result.piece), "").endswith(UNJAILED)
        return result.outcome["state"] == "graded" and result.outcome["jail"] == "none"

    def _put(self, result):
        if result.notebook and result.student not in self.copied:
            self.copied.add(result.student)
            self.course.put_others(result.student, self.section)
        self.course.put(result.student, self.section, result.piece, result.notebook, result.page)


def _among(chosen, known, kind):
    if missing := sorted(set(chosen or ()).difference(known)):
        names = ", ".join(map(repr, missing))
        near = ", ".join(known[:MOST_LINES]) + (", ..." if len(known) > MOST_LINES else "")
        raise CourseError(f"there is no {kind} {names}; there are: {near or 'none'}")
    return [name for name in known if not chosen or name in chosen]


def grade(root, chosen):
    """The command `grade`; returns the exit status."""
    course = Course(root, chosen.db)
    lock = filelock.FileLock(course.root / ".grading.lock", timeout=2)
    try:
        with lock:
            return _graded(course, chosen)
    except filelock.Timeout:
        raise CourseError(f"another run is grading in {course.root}: let it end first") from None
    except sandbox.NoJail as error:
        print(f"{sandbox.refusal(str(error))}: --unsafe.", file=sys.stderr)
        return 2


def _graded(course, chosen):
    began = time.monotonic()
    grading = Grading(course, chosen)
    students, ended = grading.students(), False
    # The workers warm up while it is looked up what there is to do.
    with _place(grading, len(students)) as place, Gradebook(course, grading.section) as book:
        grading.open(book)
        due = {(t.student, t.piece): None for t in grading.wanted(students)}
        grading.tally.same = len(students) * len(grading.pieces) - len(due)
        bar = tqdm(total=len(due), unit="notebook", disable=None, smoothing=0.1)
        try:
            with bar:
                tasks = grading.tasks(dict.fromkeys(student for student, _ in due))
                grading.run(place, tasks, lambda _: bar.update())
            if chosen.watch:
                _watch(grading, place)
        except KeyboardInterrupt:
            ended = True
    _say(grading, time.monotonic() - began, ended)
    return int(bool(grading.tally.errors) or (ended and not chosen.watch))


@contextlib.contextmanager
def _place(grading, students):
    chosen, about = grading.chosen, (grading.settings, grading.section)
    if chosen.cluster:
        place = pool.Cluster(chosen.cluster, *about)
    else:
        jobs = chosen.jobs or len(os.sched_getaffinity(0))
        most = jobs if chosen.watch else max(1, students * len(grading.pieces))
        place = pool.Cores(min(jobs, most), *about)
    try:
        yield place
    finally:
        place.close()


def _watch(grading, place):
    where = grading.course.root / grading.course.folders.submitted_directory
    print(f"Watching {where} for {grading.section}. Ctrl-C ends it.", flush=True)

    def told(result):
        verdicts = result.outcome["verdicts"] if result.outcome else []
        earned, points = (sum(v[k] for v in verdicts) for k in ("earned", "points"))
        said = result.outcome.get("reason") if result.outcome else "page written again"
        said = said or f"{earned:g} of {points:g}"
        print(f"{time.strftime('%X')} {result.student}, {result.piece}: {said}", flush=True)

    grading.run(place, grading.arrivals(), told)


def _say(grading, seconds, ended):
    """The last lines of a run."""
    tally, course = grading.tally, grading.course
    done = tally.graded + tally.shown
    if ended:
        print(f"Stopped: {pool.KEPT}.")
    pace = f" in {seconds:.1f} s, {done / seconds:.1f} a second" if done else ""
    pages = f", {tally.shown} pages written again" if tally.shown else ""
    same = f", {tally.same} unchanged" if tally.same and not ended else ""
    print(f"{grading.section}: {tally.graded} notebooks graded{pages}{same}{pace}.")
    if tally.unjailed:
        print(
            f"WITHOUT A JAIL: {tally.unjailed}. Students' code could read and write what you can."
        )
    feedback = course.feedback("<student>", grading.section)
    print(f"Pages for the students: {os.path.relpath(feedback)}{os.sep}")
    if tally.look:
        print(f"A person should look at {len(tally.look)}:")
        _list(tally.look)
    if tally.errors:
        print(f"NOT GRADED, {len(tally.errors)}; the same command tries again:")
        _list(tally.errors)


def _list(found):
    for (student, piece), reason in list(found.items())[:MOST_LINES]:
        print(f"  {student}, {piece}: {' '.join(reason.split())[:200]}")
    if len(found) > MOST_LINES:
        print(f"  and {len(found) - MOST_LINES} more: see the report")
