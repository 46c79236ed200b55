"""Run a submission in the jail, put the hidden questions, have the answers judged."""

import contextlib
import functools
import hashlib
import html
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import LimitOutput, NbGraderPreprocessor
from traitlets import Bool, Float, Integer

from grader import judge, refusals, sandbox
from grader.exercise import load
from grader.judge_picture import picture
from grader.submission import (
    NOTES,
    UNREADABLE,
    SubmissionExporter,
    Unreadable,
    defined,
    opened,
    released,
    repair,
)

VERDICTS = "verdicts"
# What of a cell's outputs a page shows, feedback or formgrader: nothing that can hold a script.
SHOWN = {
    "text/plain", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml",
}  # fmt: skip
ADDRESS = re.compile(r"\bat 0x[0-9a-f]+\b")  # where an object lies in memory
MOST_OUTPUT = 1_000_000  # characters that one cell's outputs may have, and
MOST_OUTPUTS = 4_000_000  # a notebook's


@dataclass
class Graded:
    """What came of one notebook."""

    notebook: nbformat.NotebookNode  # as it lies in autograded/
    verdicts: dict  # grade_id -> judge.Verdict
    notes: list  # what is odd about the file
    stops: list  # what the jail stopped
    unreadable: bool


def graded(path, section, piece, zygote):
    """Open the notebook at `path` (or what stands for it), repair it, run it in the jail, judge it.

    Nothing that a student can do raises; `sandbox.NoJail` and OSError are the machine's.
    """
    notes, unreadable, notebook = [], False, nbformat.v4.new_notebook()
    try:
        notebook, note = opened(Path(path))
        notes += [note] if note else []
    except Unreadable as error:
        notes, unreadable = [str(error)], True
    notebook = repair(notebook, released(section, piece), notes, unreadable)
    done = judged(notebook, load(section, piece), notes, unreadable, zygote)
    LimitOutput().preprocess(done.notebook, {})
    return done


def judged(nb, exercise, notes, unreadable, zygote):
    """Run and judge a repaired notebook, in place: the marks stand where nbgrader reads them.

    Every ordinary cell runs first, in order; the hidden questions come last and nothing that is
    shown meanwhile is kept, so that nothing the student's code prints can carry them out.
    """
    stops = []
    if unreadable:
        verdicts = {p.grade_id: judge.nothing(p, notes[0], True) for p in exercise.probes}
    else:
        verdicts, stops = _verdicts(nb, exercise, zygote)
    for cell in nb.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in verdicts:
            verdict = verdicts[grade_id]
            drawn = picture(exercise.section, exercise.piece, grade_id, verdict.mistake)
            cell.outputs = _outputs(verdict, drawn)
    said = [] if unreadable else notes  # the verdicts say it already
    nb.cells.insert(0, _summary(verdicts.values(), said + stops))
    return Graded(nb, verdicts, notes, stops, unreadable)


def _verdicts(nb, exercise, zygote):
    if found := refusals.refused_in(nb.cells):
        library, number = found
        sentence = (
            f"Code cell {number} uses `{library}`, which holds the answer: "
            "write the step yourself and hand in again."
        )
        return {p.grade_id: judge.nothing(p, sentence) for p in exercise.probes}, []
    hidden = {p.grade_id for p in exercise.probes}
    ordinary = [
        c
        for c in nb.cells
        if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("grade_id") not in hidden
    ]
    seed = _seed(ordinary)
    sources = [c.source for c in nb.cells if c.cell_type == "code"]
    with Student(zygote.knowing(sources), exercise.solves) as student:
        for cell in ordinary:
            student.run(cell)
        verdicts = {p.grade_id: student.verdict(exercise, p, seed) for p in exercise.probes}
        return verdicts, student.stops


def _seed(cells):
    """The inputs depend on what was handed in, so a second grading asks the same questions."""
    text = "\0".join(c.source for c in cells)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % judge.SEEDS


class Student:
    """One submission in its process. A cell that ends it is marked, the others are run again."""

    def __init__(self, zygote, functions):
        self.zygote, self.functions, self.limits = zygote, set(functions), zygote.limits
        self.done = []  # (source, seconds) of what came back
        self.stops, self.lost = [], {}  # what is said of cells that did not come back
        self.suspects = set()  # functions that a late cell may have been waiting for
        self.seconds = self.limits.cell
        self.restarts = self.limits.restarts
        self.left = self.limits.notebook
        self.room = MOST_OUTPUTS

    def __enter__(self):
        self.open = contextlib.ExitStack()
        self._start()
        return self

    def __exit__(self, *_):
        self.open.close()

    def _start(self):
        self.open.close()
        self.process = self.open.enter_context(self.zygote.spawn())

    def run(self, cell):
        """Run an ordinary cell; its outputs stay in the cell, a stop is written there."""
        if not cell.source.strip():
            return
        if reason := self._refusal(cell):
            return self._stop(cell, f"A cell was not run: {reason}")
        began = time.monotonic()
        seconds = min(self.seconds, self.left)
        try:
            shown = self.process.run(cell.source, seconds)
            self.done.append((cell.source, seconds))
            _tidy(cell, shown)
        except sandbox.Late as late:
            self._late(cell, late.answer, seconds)
        except sandbox.Gone as gone:
            self._stop(cell, f"A cell was stopped: its process ended, {gone}.")
            self._restart()
        self.left -= time.monotonic() - began
        self._within_bounds(cell)

    def _refusal(self, cell):
        if self.left <= 0:
            return f"the notebook's {self.limits.notebook:g} seconds were used up."
        if self.restarts < 0:
            return "too many before it ended their process."
        mentioned = self._mentioned(cell)
        if self.suspects & mentioned and not defined(cell):
            names = " or ".join(f"`{name}`" for name in sorted(self.suspects & mentioned))
            return f"a cell before it waited for {names} in vain."
        return None

    def _mentioned(self, cell):
        return set(re.findall(r"\w+", cell.source)) & self.functions

    def _late(self, cell, answer, seconds):
        """Where it heard the interrupt the process lives on, with what the cell has made so far."""
        self.suspects |= self._mentioned(cell) - defined(cell)
        reason = f"A cell was stopped: it did not finish within {seconds:g} seconds."
        self.seconds = self.limits.suspect
        if answer is None:
            self._stop(cell, reason)
            return self._restart()
        _tidy(cell, answer)
        self.done.append((cell.source, self.seconds))
        self._stop(cell, reason, cell.outputs)

    def _stop(self, cell, reason, shown=()):
        cell.outputs = [*shown, _error(reason)]
        self.stops.append(reason)
        self.lost |= dict.fromkeys(defined(cell), reason)

    def _within_bounds(self, cell):
        self.room -= sum(len(json.dumps(output)) for output in cell.outputs)
        if self.room < 0:
            cell.outputs = [_cut(f"more than {MOST_OUTPUTS} characters in this notebook")]

    def verdict(self, exercise, probe, seed):
        """Put one function's hidden questions, and have the answers judged."""
        seconds = self.limits.suspect if probe.function in self.suspects else self.limits.cell
        try:
            answers = self.process.ask(seconds, ask=probe.source, seed=seed)["answers"]
        except (sandbox.Late, sandbox.Gone, KeyError) as end:
            why = f"its process ended, {end}."
            if isinstance(end, sandbox.Late):
                why = f"it did not finish within {seconds:g} seconds."
            self._restart()
            return judge.nothing(probe, f"`{probe.function}` was asked, but {why}", review=True)
        about = exercise.section, exercise.piece, probe.grade_id
        verdict = judge.judged(*about, answers, seed)
        if verdict.earned == 0 and probe.function in self.lost:
            reason = self.lost[probe.function]
            return judge.nothing(probe, f"`{probe.function}` is not there. {reason}", review=True)
        return verdict

    def _restart(self):
        """A fresh process in which the cells that came back before have run again."""
        self.restarts -= 1
        self._start()
        replay, self.done = self.done, []
        for number, (source, seconds) in enumerate(replay, start=1):
            try:
                with contextlib.suppress(sandbox.Late):
                    self.process.run(source, seconds)
                self.done.append((source, seconds))
            except sandbox.Gone:  # it came back before, but not now: do without
                self.done += replay[number:]
                if self.restarts >= 0:
                    self._restart()
                return


class RunAndJudge(NbGraderPreprocessor):
    """In place of nbgrader's Execute: run in the jail, probe, judge."""

    cell_timeout = Float(sandbox.Limits.cell, help="Seconds one cell may take.").tag(config=True)
    notebook_timeout = Float(sandbox.Limits.notebook, help="Seconds all its cells may take.").tag(
        config=True
    )
    restarts = Integer(sandbox.Limits.restarts, help="Cells that may end their process.").tag(
        config=True
    )
    memory = Integer(
        sandbox.Limits.memory, help="Bytes of memory all processes of a submission may use."
    ).tag(config=True)
    unsafe = Bool(False, help="Run students' code without a jail where there is none.").tag(
        config=True
    )

    def limits(self):
        chosen = {"cell": self.cell_timeout, "notebook": self.notebook_timeout}
        chosen |= {"restarts": self.restarts, "memory": self.memory}
        return sandbox.Limits(**chosen)

    def zygote(self):
        """The one of this process; raises `sandbox.NoJail`."""
        return warm(self.limits(), self.unsafe)

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        exercise = load(about["assignment"], about["notebook"])
        notes = nb.metadata.pop(NOTES, [])
        unreadable = nb.metadata.pop(UNREADABLE, False)
        done = judged(nb, exercise, notes, unreadable, self.zygote())
        for verdict in done.verdicts.values():
            if verdict.review and not unreadable:  # that was said when the file was opened
                self.log.warning(
                    "%s, %s: %s", about["student"], about["notebook"], verdict.sentence
                )
        resources[VERDICTS] = done.verdicts
        resources[NOTES] = notes + done.stops
        return done.notebook, resources


@functools.cache
def warm(limits, unsafe=False):
    """This process's zygote; raises `sandbox.NoJail` where there can be none."""
    return sandbox.ready(limits, unsafe)


class JailedExporter(SubmissionExporter):
    """nbgrader's way to every submission: without a jail it is not even begun."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        try:
            RunAndJudge(config=self.config).zygote()
        except sandbox.NoJail as error:
            self.log.error("%s: --RunAndJudge.unsafe=True", error)
            raise NbGraderException(str(error)) from error


def _tidy(cell, shown):
    """Keep of what a process sent what a page can show, within bounds: it may send anything."""
    room, kept = MOST_OUTPUT, []
    outputs = shown.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        output = output if isinstance(output, dict) else {}
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            new = nbformat.v4.new_output("stream", name=name, text=_text(output.get("text")))
            size = len(new.text)
        elif kind in ("display_data", "execute_result"):
            data = output.get("data")
            data = data.items() if isinstance(data, dict) else ()
            data = {k: _text(v) for k, v in data if k in SHOWN and isinstance(v, str)}
            data = data or {"text/plain": "[an output that cannot be shown]"}
            new, size = nbformat.v4.new_output(kind, data), sum(map(len, data.values()))
        elif kind == "error":
            lines = output.get("traceback")
            lines = [_text(line) for line in lines] if isinstance(lines, list) else []
            name, value = _text(output.get("ename")), _text(output.get("evalue"))
            new = nbformat.v4.new_output("error", ename=name, evalue=value, traceback=lines)
            size = len(name) + len(value) + sum(map(len, lines))
        else:
            continue
        room -= size
        if room < 0:
            kept.append(_cut(f"more than {MOST_OUTPUT} characters"))
            break
        kept.append(new)
    cell.outputs = kept
    count = shown.get("count")
    cell.execution_count = count if type(count) is int and count >= 0 else None


def _cut(what):
    return nbformat.v4.new_output("stream", name="stdout", text=f"[{what} of output: cut]")


def _text(text):
    """A string that can be written to a file, cut where it is long; the same in every process."""
    text = ADDRESS.sub("at 0x...", text) if isinstance(text, str) else ""
    return text[: MOST_OUTPUT // 2].replace("\0", "").encode("utf-8", "replace").decode()


def _error(reason):
    return nbformat.v4.new_output("error", ename="Stopped", evalue=reason, traceback=[reason])


def _outputs(verdict, drawn=""):
    """What nbgrader keeps for a hidden cell: the sentence for people, one number for the mark."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{html.escape(a.name)}</td>"
        f"<td>{a.earned:g} / {a.points:g}</td></tr>"
        for a in verdict.aspects
    )
    table = f"<table><tr><th>aspect</th><th>marks</th></tr>{rows}</table>" if rows else ""
    shown = f"<p><strong>{_code(verdict.sentence)}</strong></p>{table}{drawn}"
    plain = verdict.sentence + "".join(
        f"\n{a.name}: {a.earned:g} of {a.points:g}" for a in verdict.aspects
    )
    return [
        nbformat.v4.new_output("display_data", {"text/html": shown, "text/plain": plain}),
        nbformat.v4.new_output("execute_result", {"text/plain": repr(round(verdict.earned, 6))}),
    ]


def _code(sentence):
    """A sentence as HTML, its `names` in code type; in a Markdown cell nothing else of it acts."""
    sentence = html.escape(sentence).translate({ord(c): f"&#{ord(c)};" for c in "[]*_"})
    parts = sentence.split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))


def _summary(verdicts, notes):
    """The first thing on the feedback page: what was found, function by function."""
    lines = [
        f"<strong>{_code(v.sentence)}</strong> "
        f"({_code(f'`{v.function}`')}: {v.earned:g} of {v.points:g})"
        for v in verdicts
    ]
    lines += [_code(note) for note in dict.fromkeys(notes)]
    return nbformat.v4.new_markdown_cell("<br>\n".join(lines), id="what-was-found")


class FlagForReview(NbGraderPreprocessor):
    """After the scores are saved: a zero that is about file or machine asks for a person."""

    def preprocess(self, nb, resources):
        about, notes = resources["nbgrader"], resources.get(NOTES, [])
        verdicts = resources.get(VERDICTS, {}).values()
        with Gradebook(about["db_url"]) as gradebook:
            for verdict in verdicts:
                if verdict.review or (notes and verdict.earned == 0):
                    gradebook.find_grade(
                        verdict.grade_id, about["notebook"], about["assignment"], about["student"]
                    ).needs_manual_grade = True
            gradebook.db.commit()
        return nb, resources
