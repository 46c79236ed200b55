"""A class, graded on every core of this machine or on a Dask cluster, one submission at a time.

A worker is given a submission as bytes and gives back the graded notebook, the page and the marks
as data: it sees no gradebook and writes no file of the course. It keeps one warm jail. Whoever
gives the work out (`results`) has a bounded number of submissions out at once and gives those
again that a dead worker took along.
"""

import ast
import concurrent.futures
import contextlib
import functools
import gc
import hashlib
import importlib.metadata
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import nbformat
from nbgrader.preprocessors import AssignLatePenalties

from grader import sandbox
from grader.course import CourseError, laid_out
from grader.exercise import ROOT
from grader.feedback import Feedback
from grader.gradebook import Given, Marks, marks
from grader.run import graded

LIBRARIES = ("numpy", "torch", "nbgrader", "nbconvert", "nbformat", "ipython", "mistune")
LOOK, PATIENCE = 0.1, 30.0  # seconds to wait, for something to do and for a result
CONNECT = 10  # seconds a scheduler may take to answer
END = object()
KEPT = "what is graded is kept, and the same command goes on from there"


class OtherVersion(RuntimeError):
    """A worker grades with other exercises or another grader than the teacher's."""


@dataclass(frozen=True)
class Settings:
    """What is the same for every submission of a run."""

    limits: object
    unsafe: bool  # go on where there is no jail
    config: object  # nbgrader's configuration of the course
    version: str


@dataclass
class Task:
    """One notebook of one student."""

    student: str
    section: str
    piece: str
    key: str
    given: Given
    files: dict  # as `Course.handed_in` reads them
    when: object = None  # it was handed in, if that is known
    only_page: bool = False  # it is graded: `notebook` is what lies in autograded/
    notebook: bytes | None = None


@dataclass
class Result:
    student: str
    piece: str
    key: str
    outcome: dict | None  # None: only the page was wanted
    notebook: bytes | None = None
    page: bytes | None = None
    marks: Marks | None = None
    penalty: float | None = None


# --- What a result depends on


@functools.cache
def code(section, piece):
    """A hash of the exercise and of all of the grader that can change a mark or a page."""
    files = [ROOT / "grader" / f"{name}.py" for name in sorted(_modules())]
    files += [ROOT / "solutions" / section / f"{piece}.py"]
    files += [ROOT / "exercises" / section / f"{piece}.ipynb"]
    return _hash(*(part for p in files for part in (p.name.encode(), p.read_bytes())))


@functools.cache
def _modules():
    """Our modules that a worker uses: what this one imports, and what runs in the jail."""
    found, new = set(), {"pool", "zygote"}
    while new:
        name = new.pop()
        found.add(name)
        for node in ast.walk(ast.parse((ROOT / "grader" / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "grader":
                new |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grader."):
                new.add(node.module.split(".")[1])
        new -= found
    return found


def version(section):
    """A hash of the section's exercises, the grader, and the libraries that compute with them."""
    found = sorted(p.stem for p in (ROOT / "exercises" / section).glob("*.ipynb"))
    hashes = [f"{piece} {code(section, piece)}" for piece in found]
    hashes += [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return _hash("\n".join(hashes).encode())


def key(section, piece, files, stamp, limits, given):
    """What the marks depend on, and what the page depends on besides; see `Task.key`."""
    about = [code(section, piece), stamp or "", repr(asdict(limits))]
    handed_in = [repr((n, d)) if d is None or isinstance(d, int) else n for n, d in files.items()]
    contents = [d if isinstance(d, bytes) else b"" for d in files.values()]
    first = _hash("\n".join(about + handed_in).encode("utf-8", "replace"), *contents)
    return f"{first}.{_hash(given.text().encode())}"


def _hash(*parts):
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.hexdigest()[:32]


# --- One submission


class Bench:
    """What a worker keeps from one submission to the next: a warm jail and a writer of pages."""

    def __init__(self, settings):
        self.settings = settings
        self.zygote = sandbox.Zygote(settings.limits)
        self.feedback = Feedback(settings.config)
        self.penalties = AssignLatePenalties(config=settings.config)
        self.penalties.init_plugin()

    def warm_up(self):
        """Start the jail; without one only where that was allowed and there can be none."""
        try:
            self.zygote.start()
        except sandbox.NoJail:
            if not self.settings.unsafe or sandbox.missing() is None:
                raise
            self.zygote = sandbox.Zygote(self.settings.limits, jailed=False)
            self.zygote.start()

    def grade(self, task):
        """Run, judge, and write the page; returns a Result."""
        began = time.monotonic()
        try:
            outcome, notebook = self._outcome(task)
        except sandbox.NoJail:
            raise
        except Exception as error:  # the student's code cannot raise here: the machine did, or we
            return failed(task, f"{type(error).__name__}: {error}", time.monotonic() - began)
        outcome["seconds"] = round(time.monotonic() - began, 3)
        review = [v["grade_id"] for v in outcome["verdicts"] if v["review"]]
        result = Result(task.student, task.piece, task.key, outcome)
        result.notebook = _text(notebook)
        result.marks = marks(notebook, review)
        self._write_page(result, task, notebook, result.marks)
        return result

    def show(self, task):
        """Only the page, of a notebook that is graded: people's marks or comments changed."""
        notebook = nbformat.reads(task.notebook.decode(), as_version=4)
        result = Result(task.student, task.piece, task.key, None)
        self._write_page(result, task, notebook, marks(notebook))
        return result

    def _outcome(self, task):
        self.warm_up()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / task.section
            place.mkdir()
            laid_out(task.files, place)
            found = graded(place / f"{task.piece}.ipynb", task.section, task.piece, self.zygote)
        doubtful = bool(found.notes or found.stops)
        outcome = {
            "student": task.student,
            "section": task.section,
            "notebook": task.piece,
            "state": "graded",
            "unreadable": found.unreadable,
            "verdicts": [
                asdict(v) | {"review": v.review or (doubtful and v.earned == 0)}
                for v in found.verdicts.values()
            ],
            "notes": list(found.notes),
            "stops": list(found.stops),
            "jail": "bubblewrap" if self.zygote.jailed else "none",
        }
        return outcome, found.notebook

    def _write_page(self, result, task, notebook, found):
        scores = {
            name: _score(auto, task.given.scores.get(name)) for name, auto in found.scores.items()
        }
        comments = found.comments | task.given.comments
        if task.given.late > 0:
            result.penalty = self._penalty(task.student, sum(scores.values()), task.given.late)
        about = {"student": task.student, "assignment": task.section, "notebook": task.piece}
        shown = {"scores": scores, "comments": comments, "late_penalty": result.penalty or 0}
        result.page = self.feedback.page(notebook, about, shown).encode()

    def _penalty(self, student, score, late):
        """By nbgrader's plugin, which a course may replace, and within nbgrader's bounds."""
        found = self.penalties.plugin_inst.late_submission_penalty(student, score, late)
        if found is None:
            return None
        return self.penalties._check_late_penalty(SimpleNamespace(score=score), found)


def _score(auto, given):
    """nbgrader's score of a cell: a person's mark before ours, and extra credit to either."""
    manual, extra = given or (None, None)
    score = auto if manual is None else manual
    return 0.0 if score is None else score + (extra or 0.0)


def _text(notebook):
    return (nbformat.writes(notebook, version=4) + "\n").encode()


def failed(task, reason, seconds=0.0):
    """The state that is no mark: a fault of the machine or of the grader, to be tried again."""
    outcome = {
        "student": task.student, "section": task.section, "notebook": task.piece,
        "state": "error", "unreadable": False, "verdicts": [], "notes": [], "stops": [],
        "jail": "none", "reason": reason, "seconds": round(seconds, 3),
    }  # fmt: skip
    return Result(task.student, task.piece, "", outcome)


benches = threading.local()  # a Dask worker may have several threads


def bench(settings, section):
    """This worker's bench. `settings` come pickled: they are read when they change."""
    if getattr(benches, "of", None) != settings:
        found = pickle.loads(settings)
        if found.version != version(section):
            raise OtherVersion
        benches.bench, benches.of = Bench(found), settings
    return benches.bench


def work(settings, task):
    """What a worker does."""
    mine = bench(settings, task.section)
    return mine.show(task) if task.only_page else mine.grade(task)


# --- Where the work is done


class Cores:
    """A process for each of `jobs` cores, forked from this one; each warms up at once."""

    def __init__(self, jobs, settings, section):
        self.jobs, self.window = jobs, 2 * jobs
        self.about = pickle.dumps(settings), section
        self._open()

    def _open(self):
        gc.collect()
        gc.freeze()  # a collection in a worker would copy every page that it marks
        self.ends = os.pipe()
        self.executor = concurrent.futures.ProcessPoolExecutor(
            self.jobs, multiprocessing.get_context("fork"), _begin, (*self.ends, *self.about)
        )
        self.executor.submit(int)  # the first task starts the processes

    def submit(self, task):
        return self.executor.submit(work, self.about[0], task)

    def reopen(self):
        self.close()
        self._open()

    def close(self):
        """End the workers, whatever they are doing; their jails go with them."""
        for end in self.ends:
            os.close(end)
        self.executor.shutdown(cancel_futures=True)

    def alive(self):
        return True


def _begin(read, write, settings, section):
    """A new worker: it ends with its parent, even where that one was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(write)

    def wait():
        os.read(read, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    with contextlib.suppress(Exception):  # whatever it is, the first task will meet it again
        bench(settings, section).warm_up()


class Cluster:
    """The workers of a Dask cluster that somebody has started."""

    def __init__(self, address, settings, section):
        import distributed  # only those who have a cluster wait for the import

        try:
            self.client = distributed.Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CourseError(f"there is no Dask scheduler at {address}: {error}") from error
        try:
            self._compare(settings.version, section)
        except CourseError:
            self.close()
            raise
        self.settings = pickle.dumps(settings)
        self.executor = self.client.get_executor(pure=False)
        self.window = max(4, 2 * sum(self.client.nthreads().values()))

    def _compare(self, ours, section):
        found = self.client.run(version, section, on_error="return")
        if not found:
            raise CourseError("the cluster has no workers")
        for worker, theirs in found.items():
            if theirs != ours:
                said = f": {theirs}" if isinstance(theirs, Exception) else ""
                raise CourseError(
                    f"the worker {worker} has another version of the exercises, the grader or its "
                    f"libraries than this machine; install the same there{said}"
                )

    def submit(self, task):
        return self.executor.submit(work, self.settings, task)

    def reopen(self):
        pass

    def close(self):
        with contextlib.suppress(Exception):
            self.client.close(timeout=5)

    def alive(self):
        return self.client.status == "running" and bool(self.client.nthreads())


def results(place, tasks):
    """Grade the tasks at a place; yields (task, Result) as they finish.

    Where `tasks` yields None there is nothing to do at present: (None, None) is passed on, and it
    is asked again a moment later.
    """
    tasks, out, suspects = iter(tasks), {}, deque()
    any_yet = False
    while True:
        idle = ended = False
        while not suspects and not idle and not ended and len(out) < place.window:
            task = next(tasks, END)
            idle, ended = task is None, task is END
            if not idle and not ended:
                out[_given(place, task)] = task
        if suspects:  # one by one: if a worker dies now, we know whose fault it is
            task = suspects.popleft()
            yield task, _alone(place, task)
            continue
        if ended and not out:
            return
        if idle:
            yield None, None
        pause = LOOK if idle else PATIENCE
        done = concurrent.futures.wait(out, pause, concurrent.futures.FIRST_COMPLETED).done
        if not out:
            time.sleep(pause)
        elif not done and not idle and not place.alive():
            raise CourseError(f"the cluster has no workers left: {KEPT}")
        for future in done:
            task = out.pop(future)
            try:
                result = _result_of(future, task, any_yet)
            except BrokenProcessPool:
                suspects.append(task)
                continue
            any_yet = True
            yield task, result
        if suspects:
            suspects += out.values()
            out.clear()
            place.reopen()


def _given(place, task):
    try:
        return place.submit(task)
    except BrokenProcessPool:  # a worker has died, and nobody has looked since
        place.reopen()
        return place.submit(task)


def _alone(place, task):
    try:
        return _result_of(_given(place, task), task, True)
    except BrokenProcessPool:
        place.reopen()
        return failed(task, "it ended the process that graded it, twice")


def _result_of(future, task, any_yet):
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except sandbox.NoJail as error:
        if not any_yet:  # there never was one
            raise
        return failed(task, str(error))
    except OtherVersion as error:
        raise CourseError(f"a worker has another version of the grader: {KEPT}") from error
    except concurrent.futures.CancelledError as error:
        raise CourseError(f"the cluster went away: {KEPT}") from error
    except Exception as error:  # Dask's KilledWorker: several workers died of it
        return failed(task, f"{type(error).__name__}: {error}")
