"""Run a submission in its own kernel, put the hidden questions, have the answers judged."""

import hashlib
import html
import json
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Float, Integer

from grader import judge, refusals
from grader.exercise import load
from grader.submission import NOTES

ANSWERS = "application/vnd.answers+json"
PROBE = (Path(__file__).parent / "probe.py").read_text()
VERDICTS = "verdicts"


class Stopped(Exception):
    """The student's process did not come back; the message says how."""


class RunAndJudge(NbGraderPreprocessor):
    """In place of nbgrader's Execute: run, probe, judge, write the marks where nbgrader reads them.

    Every ordinary cell runs first, in order; the hidden questions come last and their outputs are
    not kept, so that nothing the student's code prints can carry them out.
    """

    cell_timeout = Float(10.0, help="Seconds one cell may take.").tag(config=True)
    notebook_timeout = Float(60.0, help="Seconds a whole notebook may take.").tag(config=True)
    restarts = Integer(3, help="Times a dead kernel is started again.").tag(config=True)

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        exercise = load(about["assignment"], about["notebook"])
        notes = nb.metadata.pop(NOTES, [])
        verdicts = self._verdicts(nb, exercise)
        for cell in nb.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if grade_id in verdicts:
                cell.outputs = _outputs(verdicts[grade_id])
        nb.cells.insert(0, _summary(verdicts.values(), notes))
        for verdict in verdicts.values():
            if verdict.review:
                self.log.warning(
                    "%s, %s: %s", about["student"], about["notebook"], verdict.sentence
                )
        resources[VERDICTS] = verdicts
        resources[NOTES] = notes
        return nb, resources

    def _verdicts(self, nb, exercise):
        if found := refusals.refused_in(nb.cells):
            library, number = found
            sentence = (
                f"Code cell {number} uses `{library}`, which holds the answer: "
                "write the step yourself and hand in again."
            )
            return {p.grade_id: judge.nothing(p, sentence) for p in exercise.probes}
        hidden = {p.grade_id: p for p in exercise.probes}
        ordinary = [
            c
            for c in nb.cells
            if c.cell_type == "code"
            and c.metadata.get("nbgrader", {}).get("grade_id") not in hidden
        ]
        seed = _seed(ordinary)
        with Student(self) as student:
            for cell in ordinary:
                student.run(cell)
            return {p.grade_id: student.verdict(exercise, p, seed) for p in exercise.probes}


def _seed(cells):
    """The inputs depend on what was handed in, so a second grading asks the same questions."""
    text = "\0".join(c.source for c in cells)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % judge.SEEDS


class Student:
    """One submission's kernel. A cell that kills it is marked, the others are run again."""

    def __init__(self, limits):
        self.limits = limits
        self.done = []
        self.restarts = limits.restarts
        self.ends = time.monotonic() + limits.notebook_timeout
        self.reason = None

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.scratch = Path(self.folder.name) / "scratch"
        self.scratch.mkdir()
        self._open()
        return self

    def __exit__(self, *_):
        self._close()
        self.folder.cleanup()

    def _open(self):
        self.client = NotebookClient(
            nbformat.v4.new_notebook(),
            # Sockets in the file system: nothing of the kernel is on the network.
            km=AsyncKernelManager(
                kernel_name="python3", transport="ipc", ip=f"{self.folder.name}/socket"
            ),
            allow_errors=True,
            interrupt_on_timeout=False,
            shutdown_kernel="immediate",
            extra_arguments=["--HistoryManager.hist_file=:memory:"],
            resources={"metadata": {"path": str(self.scratch)}},
        )
        self.client.reset_execution_trackers()
        self.session = self.client.setup_kernel(cleanup_kc=True)
        self.session.__enter__()

    def _close(self):
        try:
            self.session.__exit__(None, None, None)
        except (RuntimeError, OSError, NoSuchKernel):
            self.client.km = None  # it was dead already

    def run(self, cell):
        """Run an ordinary cell; its outputs stay in the cell, a stop is written there."""
        if not cell.source.strip():
            return
        try:
            self._execute(cell)
            self.done.append(cell)
        except Stopped as stop:
            cell.outputs = [_error(str(stop))]
            self.reason = str(stop)
            self._reopen()

    def verdict(self, exercise, probe, seed):
        """Put one function's hidden questions, and have the answers judged."""
        code = (
            f"exec(compile({PROBE!r}, '<probe>', 'exec'), _probe := {{'__name__': 'asked'}})\n"
            f"get_ipython().display_pub.publish(data={{{ANSWERS!r}: "
            f"_probe['hand_out']({probe.source!r}, globals(), {seed})}}, metadata={{}})"
        )
        cell = nbformat.v4.new_code_cell(code)
        try:
            self._execute(cell, store_history=False)
        except Stopped as stop:
            self._reopen()
            return judge.nothing(probe, f"`{probe.function}` was asked, but {stop}", review=True)
        handed_out = next(
            (
                o.data[ANSWERS]
                for o in cell.outputs
                if o.output_type == "display_data" and ANSWERS in o.data
            ),
            None,
        )
        if isinstance(handed_out, list | dict):
            handed_out = json.dumps(handed_out)
        return judge.judged(exercise.section, exercise.piece, probe.grade_id, handed_out, seed)

    def _execute(self, cell, store_history=True):
        left = min(self.limits.cell_timeout, self.ends - time.monotonic())
        if left <= 0:
            raise Stopped(f"the notebook's {self.limits.notebook_timeout:g} seconds were used up.")
        self.client.timeout = max(1, round(left))
        self.client.nb.cells = [cell]
        try:
            self.client.execute_cell(cell, 0, store_history=store_history)
        except CellTimeoutError as error:
            raise Stopped(f"it did not finish within {self.client.timeout} seconds.") from error
        except DeadKernelError as error:
            raise Stopped("its process ended: it crashed, ran out of memory or left.") from error
        except CellControlSignal as error:
            raise Stopped("its process stopped answering.") from error

    def _reopen(self):
        """A fresh process in which the cells that came back before have run again."""
        self._close()
        self._open()
        replay, self.done = self.done, []
        for cell in replay:
            if self.restarts <= 0:
                return
            try:
                self._execute(nbformat.v4.new_code_cell(cell.source))
                self.done.append(cell)
            except Stopped:
                self.restarts -= 1
                self._close()
                self._open()
        self.restarts -= 1


def _error(reason):
    return nbformat.v4.new_output("error", ename="Stopped", evalue=reason, traceback=[reason])


def _outputs(verdict):
    """What nbgrader keeps for a hidden cell: the sentence for people, one number for the mark."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{html.escape(a.name)}</td>"
        f"<td>{a.earned:g} / {a.points:g}</td></tr>"
        for a in verdict.aspects
    )
    table = f"<table><tr><th>aspect</th><th>marks</th></tr>{rows}</table>" if rows else ""
    shown = f"<p><strong>{_code(verdict.sentence)}</strong></p>{table}"
    plain = verdict.sentence + "".join(
        f"\n{a.name}: {a.earned:g} of {a.points:g}" for a in verdict.aspects
    )
    return [
        nbformat.v4.new_output("display_data", {"text/html": shown, "text/plain": plain}),
        nbformat.v4.new_output("execute_result", {"text/plain": repr(round(verdict.earned, 6))}),
    ]


def _code(sentence):
    """A sentence as HTML, its `names` in code type."""
    parts = html.escape(sentence).split("`")
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
