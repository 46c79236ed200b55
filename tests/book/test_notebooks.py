"""The notebook beside each page is the page, executed; and the comparison of outputs has teeth."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("book_sync", ROOT / "book/_tools/sync.py")
sync = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sync)
NOTEBOOKS = [page.with_suffix(".ipynb") for page in sync.pages()]
names = {"ids": lambda path: path.stem}


def outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        yield from cell.get("outputs", [])


def test_every_notebook_has_the_cells_of_its_page():
    assert sync.stale() == [], "run: python book/_tools/sync.py"


@pytest.mark.parametrize("path", NOTEBOOKS, **names)
def test_outputs_are_kept_and_are_text(path):
    kept = list(outputs(path))
    assert kept
    assert all({*output.get("data", {})} <= {"text/plain", "text/markdown"} for output in kept)


@pytest.mark.parametrize("path", NOTEBOOKS, **names)
def test_no_output_holds_what_changes_from_run_to_run(path):
    for output in outputs(path):
        text = output.get("text", "") + str(output.get("data", ""))
        assert not re.search(r"0x[0-9a-f]{6,}", text), "a memory address"
        assert str(ROOT) not in text


def test_printed_pieces_are_joined():
    out = nbformat.v4.new_output
    pieces = [out("stream", name="stdout", text=text) for text in ("a", "b\n")]
    result = out("execute_result", data={"text/plain": "1"})
    (first, *rest) = sync.joined([*pieces, result, out("stream", name="stdout", text="c")])
    assert first.text == "ab\n"
    assert [output.output_type for output in rest] == ["execute_result", "stream"]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A book of one page, synced."""
    page = tmp_path / "book" / "page.md"
    page.parent.mkdir()
    header = "---\njupytext: {text_representation: {extension: .md, format_name: myst}}\n---\n\n"
    page.write_text(f"{header}# Page\n\n```{{code-cell}}\n1 + 1\n```\n")
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    monkeypatch.setattr(sync, "BOOK", page.parent)
    nbformat.write(sync.unexecuted(page), page.with_suffix(".ipynb"))
    assert sync.stale() == []
    return page


def test_a_changed_cell_is_stale(small):
    small.write_text(small.read_text().replace("1 + 1", "1 + 2"))
    assert sync.stale() == ["book/page.ipynb"]


def test_changed_prose_is_stale(small):
    small.write_text(small.read_text().replace("# Page", "# Another page"))
    assert sync.stale() == ["book/page.ipynb"]


def test_a_missing_notebook_is_stale(small):
    small.with_suffix(".ipynb").unlink()
    assert sync.stale() == ["book/page.ipynb"]


def test_a_notebook_without_a_page_is_stale(small):
    small.unlink()
    assert sync.stale() == ["book/page.ipynb"]


def nbval(folder):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider",
         "-c", os.devnull, "--rootdir", str(folder), str(folder)],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


@pytest.mark.skipif(not NOTEBOOKS, reason="no page of the book runs anything yet")
def test_one_changed_digit_in_a_stored_output_fails(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    number, printed = next(
        (number, output)
        for number, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if re.search(r"\d", output.get("text", ""))
    )
    notebook.cells = notebook.cells[: number + 1]
    shutil.copy(ROOT / "conftest.py", tmp_path)
    path = tmp_path / "page.ipynb"
    nbformat.write(notebook, path)
    honest = nbval(tmp_path)
    assert honest.returncode == 0, honest.stdout

    old = printed.text
    at = re.search(r"\d", old).start()
    printed.text = old[:at] + str((int(old[at]) + 1) % 10) + old[at + 1 :]
    nbformat.write(notebook, path)
    forged = nbval(tmp_path)
    assert forged.returncode == 1
    assert "1 failed" in forged.stdout
