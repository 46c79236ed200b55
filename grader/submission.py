"""A submission as it should be: whatever a student handed in, put back into the exercise's form.

Nothing of the student's is lost: cells keep their order, answers whose metadata was stripped or
renamed are known by their content, and every repair leaves a note for the teacher.
"""

import copy
import functools
import json
import os
import re
from pathlib import Path

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import compute_checksum

from grader.build import ensure_gradebook
from grader.exercise import HIDDEN_BEGIN, ROOT

MOST_BYTES = 100_000_000  # outputs that were saved in the file count
MOST_CODE = 1_000_000  # characters of code
MOST_CELLS = 1000
UNREADABLE = "grading_unreadable"
NOTES = "grading_notes"


class SubmissionExporter(NotebookExporter):
    """nbgrader's exporter, but a file that is missing, renamed or no notebook is no crash."""

    def from_filename(self, filename, resources=None, **kw):
        if not self.parent._sanitizing:  # the second pass reads what the first one wrote
            return super().from_filename(filename, resources, **kw)
        resources = resources if resources is not None else {}
        try:
            notebook, note = opened(Path(filename))
        except Unreadable as error:
            notebook, note = nbformat.v4.new_notebook(), str(error)
            resources[UNREADABLE] = True
        resources[NOTES] = [note] if note else []
        resources.setdefault("metadata", {})["name"] = Path(filename).stem
        return self.from_notebook_node(notebook, resources, **kw)


class Unreadable(ValueError):
    """The submission holds no notebook; the message is for the teacher and the student."""


def opened(path):
    """The notebook at `path`, or one beside it that is plainly the same exercise, and a note."""
    if path.is_symlink() or path.exists():
        return _read(path), None
    template = released(path.parent.name, path.stem)
    expected = {p.name for p in (ROOT / "exercises" / path.parent.name).glob("*.ipynb")}
    best = (0, None, None)
    for other in sorted(path.parent.glob("*.ipynb")):
        if other.name in expected:
            continue
        try:
            notebook = _read(other)
        except Unreadable:
            continue
        score = len(_marks(notebook) & _marks(template))
        best = max(best, (score, other, notebook), key=lambda b: b[0])
    if best[0]:
        return best[2], f"No {path.name} was handed in; {best[1].name!r} was graded in its place."
    raise Unreadable(f"No {path.name} was handed in.")


def _marks(notebook):
    """What tells one exercise from another: the functions that its answer cells define."""
    return {name for cell in notebook.cells if cell.cell_type == "code" for name in defined(cell)}


def defined(cell):
    """Names of the functions and classes that a code cell defines at its top level."""
    return set(re.findall(r"^(?:def|class)\s+(\w+)", cell.source, re.MULTILINE))


def _read(path):
    try:
        if path.is_symlink() or not path.is_file():  # it may lead anywhere, or never end
            raise Unreadable(f"{path.name} is no file of its own, but a link, a pipe or a folder.")
        if path.stat().st_size > MOST_BYTES:
            raise Unreadable(f"{path.name} is larger than {MOST_BYTES // 10**6} MB.")
        text = path.read_text(encoding="utf-8", errors="replace")
        raw = json.loads(text)
        if not isinstance(raw, dict) or not isinstance(raw.get("nbformat"), int):
            raise Unreadable(f"{path.name} is no Jupyter notebook.")
        if raw["nbformat"] != 4:
            raw = nbformat.convert(nbformat.from_dict(raw), 4)
        cells = raw.get("cells")
    except Unreadable:
        raise
    except RecursionError as error:
        raise Unreadable(f"{path.name} is nested too deeply.") from error
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be opened: {error.strerror}.") from error
    except ValueError as error:
        raise Unreadable(f"{path.name} is damaged or cut off: no Jupyter notebook.") from error
    except Exception as error:  # nbformat's converters raise what they like on odd input
        raise Unreadable(f"{path.name} is no Jupyter notebook we can read.") from error
    if not isinstance(cells, list):
        raise Unreadable(f"{path.name} is no Jupyter notebook: it has no cells.")
    if len(cells) > MOST_CELLS:
        raise Unreadable(f"{path.name} has more than {MOST_CELLS} cells.")
    # Rebuilt from the parts we know, so that nothing odd travels further.
    cells = [c for c in map(_rebuilt, cells, range(len(cells))) if c is not None]
    if sum(len(c.source) for c in cells if c.cell_type == "code") > MOST_CODE:
        raise Unreadable(f"{path.name} has more than {MOST_CODE // 10**6} MB of code.")
    _unique_ids(cells)
    return nbformat.v4.new_notebook(cells=cells)


def _rebuilt(cell, number):
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(s for s in source if isinstance(s, str))
    if not isinstance(source, str):
        return None
    # Null bytes and lone surrogates can be neither run nor written.
    source = source.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    make = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}
    kind = cell.get("cell_type")
    kind = kind if isinstance(kind, str) else "markdown"
    new = make.get(kind, nbformat.v4.new_markdown_cell)(source)
    metadata = cell.get("metadata")
    grading = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(grading, dict) and isinstance(grading.get("grade_id"), str):
        new.metadata["nbgrader"] = {"grade_id": grading["grade_id"]}
    if new.cell_type == "markdown" and (pictures := _attachments(cell.get("attachments"))):
        new["attachments"] = pictures
    identity = cell.get("id")
    known = isinstance(identity, str) and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", identity)
    new["id"] = identity if known else f"cell-{number}"  # nbformat would draw one anew each time
    return new


def _attachments(found):
    """The pictures pasted into a Markdown cell: name -> {MIME type: base64 text}."""
    found = found if isinstance(found, dict) else {}
    return {
        name: data
        for name, data in found.items()
        if isinstance(data, dict) and data and all(isinstance(d, str) for d in data.values())
    }


@functools.cache
def released(section, piece):
    """The exercise as students got it, its locked cells whole, as nbgrader's gradebook has them."""
    release = nbformat.read(ROOT / "exercises" / section / f"{piece}.ipynb", as_version=4)
    whole = nbformat.read(ROOT / "solutions" / section / f"{piece}.ipynb", as_version=4)
    sources = {c["id"]: c.source for c in whole.cells}
    for cell in release.cells:
        if "nbgrader" in cell.metadata and not _is_answer(cell):
            cell.source = sources[cell["id"]]
            cell.metadata.nbgrader["checksum"] = compute_checksum(cell)
    return release


class Repair(NbGraderPreprocessor):
    """First of the sanitizers: give every cell of the exercise back its place and its metadata."""

    def preprocess(self, nb, resources):
        about = resources["nbgrader"]
        template = released(about["assignment"], about["notebook"])
        notes = list(resources[NOTES])
        repaired = repair(nb, template, notes, resources.get(UNREADABLE, False))
        for note in notes:
            self.log.warning("%s, %s: %s", about["student"], about["notebook"], note)
        repaired.metadata[NOTES] = notes
        if resources.get(UNREADABLE):
            repaired.metadata[UNREADABLE] = True
        return repaired, resources


def repair(nb, template, notes, unreadable=False):
    """The student's cells with each of the template's graded cells there exactly once."""
    wanted = {c.metadata.nbgrader.grade_id: c for c in template.cells if "nbgrader" in c.metadata}
    cells, seen = [], set()
    for cell in nb.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id is None:
            cells.append(cell)
        elif grade_id not in wanted:
            notes.append("A cell carried an unknown name; it was kept as an ordinary cell.")
            del cell.metadata["nbgrader"]
            cells.append(cell)
        elif grade_id not in seen:
            seen.add(grade_id)
            if _tampered(cell, wanted[grade_id]):
                notes.append(f"The locked cell {grade_id} had been edited; it was put back.")
            cells.append(_restored(cell, wanted[grade_id]))
        elif _is_answer(wanted[grade_id]):
            notes.append(f"There were two cells named {grade_id}; both were run, in their order.")
            del cell.metadata["nbgrader"]
            cells.append(cell)
        else:
            notes.append(f"The test cell {grade_id} was there twice; the second was dropped.")
    previous = None
    for grade_id, source_cell in wanted.items():
        if grade_id not in seen:
            _put_back(cells, source_cell, previous, notes, silent=unreadable)
        previous = grade_id
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    _unique_ids(cells)
    metadata = {k: v for k, v in template.metadata.items() if k in ("kernelspec", "language_info")}
    repaired = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    return repaired


def _tampered(cell, source_cell):
    if _is_answer(source_cell):
        return False
    visible = source_cell.source.split(HIDDEN_BEGIN)[0]
    return cell.source.strip() != visible.strip()


def _is_answer(cell):
    return cell.metadata.nbgrader.solution


def _restored(cell, source_cell):
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    answer = _is_answer(source_cell)
    new = make[source_cell.cell_type](cell.source if answer else source_cell.source)
    new.metadata.update(copy.deepcopy(source_cell.metadata))
    if answer and new.cell_type == cell.cell_type and "attachments" in cell:
        new["attachments"] = cell["attachments"]
    new["id"] = source_cell["id"]
    return new


def _put_back(cells, source_cell, previous, notes, silent):
    """Find the cell under another name, or insert the released one after its predecessor."""
    grade_id = source_cell.metadata.nbgrader.grade_id
    names = defined(source_cell) if source_cell.cell_type == "code" else set()
    for index in reversed(range(len(cells))):
        cell = cells[index]
        if "nbgrader" in cell.metadata:
            continue
        same_id = cell["id"] == source_cell["id"] and cell.cell_type == source_cell.cell_type
        visible = source_cell.source.split(HIDDEN_BEGIN)[0].strip()
        same_text = cell.source.strip() == visible
        same_name = _is_answer(source_cell) and cell.cell_type == "code" and names & defined(cell)
        if same_id or same_name or same_text:
            cells[index] = _restored(cell, source_cell)
            notes.append(f"The cell {grade_id} had lost its name; it was known by its content.")
            return
    where = len(cells)
    for index, cell in enumerate(cells):
        if cell.metadata.get("nbgrader", {}).get("grade_id") == previous:
            where = index + 1
    cells.insert(where, _restored(source_cell, source_cell))
    if not silent:
        notes.append(f"The cell {grade_id} was missing; it was put back as released.")


def _unique_ids(cells):
    seen = {"what-was-found"}  # the summary, which comes on top later
    for number, cell in enumerate(cells):
        if cell["id"] in seen:
            cell["id"] = f"cell-{number}"
        while cell["id"] in seen:
            cell["id"] += "x"
        seen.add(cell["id"])


def complete(*, assignment, student, notebooks):
    """nbgrader's hook before a submission is converted: see to the notebooks it does not list.

    A notebook that is missing, or handed in under another name, is graded too (see `opened`),
    so that it appears with its reason instead of as a silent zero.
    """
    if not notebooks:
        return
    folder = Path(notebooks[0]).parent
    _without_links(folder)
    ensure_gradebook(folder.name, Path.cwd())  # nbgrader works from the course's folder
    for expected in sorted((ROOT / "exercises" / folder.name).glob("*.ipynb")):
        path = str(folder / expected.name)
        # One that is there but not listed was left out on purpose: `--notebook`.
        if path not in notebooks and not Path(path).exists():
            notebooks.append(path)


def _without_links(folder):
    """nbgrader copies what lies beside the notebooks, to the student in the end: no link's target.

    A link holds nothing of its own that could be lost; where it led is written in its place.
    """
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in folders + names):
            if path.suffix == ".ipynb" or not (path.is_symlink() or _odd(path)):
                continue
            led = f"a link to {os.readlink(path)}" if path.is_symlink() else "no ordinary file"
            path.unlink()
            path.with_name(f"{path.name}.removed.txt").write_text(f"This was {led}.\n")


def _odd(path):
    return not path.is_file() and not path.is_dir()
