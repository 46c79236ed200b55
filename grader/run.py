"""Run a submission in its own kernel, put the hidden questions, have the answers judged."""

import contextlib
import hashlib
import html
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Float, Integer

from grader import judge, refusals
from grader.exercise import load
from grader.submission import NOTES, UNREADABLE, defined

ANSWERS = "application/vnd.answers+json"
PROBE = (Path(__file__).parent / "probe.py").read_text()
VERDICTS = "verdicts"
# What of a cell's outputs a feedback page shows; scripts are not among it.
SHOWN = {
    "text/plain", "text/html", "text/markdown", "text/latex",
    "image/png", "image/jpeg", "image/svg+xml",
}  # fmt: skip
MOST_OUTPUT = 1_000_000  # characters that one cell's outputs may have


class Stopped(Exception):
    """The student's process did not come back; the message says how."""


class RunAndJudge(NbGraderPreprocessor):
    """In place of nbgrader's Execute: run, probe, judge, write the marks where nbgrader reads them.

    Every ordinary cell runs first, in order; the hidden questions come last and their outputs are
    not kept, so that nothing the student's code prints can carry them out.
    """

    cell_timeout = Float(20.0, help="Seconds one cell may take.").tag(config=True)
    notebook_timeout = Float(90.0, help="Seconds all its cells may take.").tag(config=True)
    restarts = Integer(3, help="Cells that may kill their process.").tag(config=True)

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        exercise = load(about["assignment"], about["notebook"])
        notes = nb.metadata.pop(NOTES, [])
        unreadable = nb.metadata.pop(UNREADABLE, False)
        if unreadable:
            verdicts = {p.grade_id: judge.nothing(p, notes[0], True) for p in exercise.probes}
            notes = []
        else:
            verdicts = self._verdicts(nb, exercise, notes)
        for cell in nb.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if grade_id in verdicts:
                cell.outputs = _outputs(verdicts[grade_id])
        nb.cells.insert(0, _summary(verdicts.values(), notes))
        for verdict in verdicts.values():
            if verdict.review and not unreadable:  # that was said when the file was opened
                self.log.warning(
                    "%s, %s: %s", about["student"], about["notebook"], verdict.sentence
                )
        resources[VERDICTS] = verdicts
        resources[NOTES] = notes
        return nb, resources

    def _verdicts(self, nb, exercise, notes):
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
                _tidy(cell)
            notes += student.stops
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
        self.stops, self.lost = [], {}  # what is said of cells that did not come back
        self.restarts = limits.restarts
        self.left = limits.notebook_timeout

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
        for last in False, False, True:  # starting a process can fail on a busy machine
            try:
                return self._start()
            except Exception:
                if last:
                    raise
                self._close()

    def _start(self):
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
        # What a student's code leaves for the next process to start with is not looked for.
        env = os.environ | {"IPYTHONDIR": f"{self.folder.name}/ipython", "PYTHONNOUSERSITE": "1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.session = self.client.setup_kernel(cleanup_kc=True, env=env, **quiet)
        self.session.__enter__()
        # A forgotten exit() would end the process between two cells, out of sight.
        stay = nbformat.v4.new_code_cell("get_ipython().ask_exit = lambda: None")
        self._execute(stay, self.limits.cell_timeout, store_history=False)

    def _close(self):
        try:
            self.session.__exit__(None, None, None)
        except Exception:  # the process may have left at any moment, and taken its sockets along
            with contextlib.suppress(Exception):
                run_sync(self.client.km.shutdown_kernel)(now=True)
            self.client.km = None

    def run(self, cell):
        """Run an ordinary cell; its outputs stay in the cell, a stop is written there."""
        if not cell.source.strip():
            return
        if self.left <= 0:
            seconds = f"{self.limits.notebook_timeout:g}"
            self._stop(cell, f"A cell was not run: the notebook's {seconds} seconds were used up.")
            return
        if self.restarts < 0:
            self._stop(cell, "A cell was not run: too many before it ended their process.")
            return
        began = time.monotonic()
        try:
            self._execute(cell, min(self.limits.cell_timeout, self.left))
            self.done.append(cell.source)
        except Stopped as stop:
            self._stop(cell, f"A cell was stopped: {stop}")
            self.restarts -= 1
            self._reopen()
        finally:
            self.left -= time.monotonic() - began

    def _stop(self, cell, reason):
        cell.outputs = [_error(reason)]
        self.stops.append(reason)
        self.lost |= dict.fromkeys(defined(cell), reason)

    def verdict(self, exercise, probe, seed):
        """Put one function's hidden questions, and have the answers judged."""
        code = (
            f"exec(compile({PROBE!r}, '<probe>', 'exec'), _probe := {{'__name__': 'asked'}})\n"
            f"get_ipython().display_pub.publish(data={{{ANSWERS!r}: "
            f"_probe['hand_out']({probe.source!r}, globals(), {seed})}}, metadata={{}})"
        )
        cell = nbformat.v4.new_code_cell(code)
        try:
            self._execute(cell, self.limits.cell_timeout, store_history=False)
        except Stopped as stop:
            self._reopen()
            return judge.nothing(probe, f"`{probe.function}` was asked, but {stop}", review=True)
        handed_out = next(
            (
                o.data[ANSWERS]
                for o in cell.outputs
                if o.output_type == "display_data" and ANSWERS in (o.data or {})
            ),
            None,
        )
        if isinstance(handed_out, list | dict):
            handed_out = json.dumps(handed_out)
        verdict = judge.judged(exercise.section, exercise.piece, probe.grade_id, handed_out, seed)
        if verdict.earned == 0 and probe.function in self.lost:
            reason = self.lost[probe.function]
            return judge.nothing(probe, f"`{probe.function}` is not there. {reason}", review=True)
        return verdict

    def _execute(self, cell, seconds, store_history=True):
        self.client.timeout = max(1, round(seconds))
        self.client.nb.cells = [cell]
        self.client.reset_execution_trackers()  # a display of an earlier cell is out of reach
        try:
            self.client.execute_cell(cell, 0, store_history=store_history)
        except CellTimeoutError as error:
            raise Stopped(f"it did not finish within {self.client.timeout} seconds.") from error
        except DeadKernelError as error:
            raise Stopped("its process ended: it crashed, ran out of memory or left.") from error
        except CellControlSignal as error:
            raise Stopped("its process stopped answering.") from error
        except Exception as error:  # nbclient trusts what a kernel sends
            raise Stopped("its process sent messages that nobody can read.") from error

    def _reopen(self):
        """A fresh process in which the cells that came back before have run again."""
        self._close()
        self._open()
        replay, self.done = self.done, []
        for number, source in enumerate(replay, start=1):
            try:
                self._execute(nbformat.v4.new_code_cell(source), self.limits.cell_timeout)
                self.done.append(source)
            except Stopped:  # it came back before, but not now: do without
                self.done += replay[number:]
                self.restarts -= 1
                if self.restarts >= 0:
                    self._reopen()
                return


def _tidy(cell):
    """Keep of a cell's outputs what a page can show, within bounds: a kernel may send anything."""
    room, kept = MOST_OUTPUT, []
    for output in cell.outputs:
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            new = nbformat.v4.new_output("stream", name=name, text=_text(output.get("text")))
            size = len(new.text)
        elif kind in ("display_data", "execute_result"):
            data = output.get("data")
            data = data.items() if isinstance(data, dict) else ()
            data = {k: _text(v) for k, v in data if k in SHOWN and isinstance(v, str)}
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
            text = f"[more than {MOST_OUTPUT} characters of output: cut]"
            kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
            break
        kept.append(new)
    cell.outputs = kept
    count = cell.get("execution_count")
    cell.execution_count = count if type(count) is int and count >= 0 else None


def _text(text):
    """A string that can be written to a file, cut where it is long."""
    text = text if isinstance(text, str) else ""
    return text[: MOST_OUTPUT // 2].replace("\0", "").encode("utf-8", "replace").decode()


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
