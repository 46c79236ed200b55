"""Make the notebook beside each page: python book/_tools/sync.py [--check] [PAGE.md ...]

The page (`adam.md`) is the truth; the notebook (`adam.ipynb`) is made from it, executed, with its
text outputs kept and its images dropped, and is never edited. `--check` runs nothing: it names the
notebooks whose cells are not their page's.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
DROPPED = ("image/png", "image/svg+xml", "image/jpeg", "text/html")
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def pages():
    """Every page of the book that runs something."""
    found = (p for p in sorted(BOOK.rglob("*.md")) if "_build" not in p.parts)
    return [page for page in found if "\n```{code-cell}" in page.read_text(encoding="utf8")]


def unexecuted(page):
    """The notebook of a page before it is run, with cell ids that stay when other cells change."""
    notebook = jupytext.read(page)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{page.stem}-{number}"
    notebook.metadata = nbformat.from_dict(KERNEL)
    return notebook


def joined(outputs):
    """What was printed in one go: the kernel hands it over in pieces, cut at any moment."""
    whole = []
    for output in outputs:
        last = whole[-1] if whole else {}
        if output.output_type == "stream" == last.get("output_type") and output.name == last.name:
            last.text += output.text
        else:
            whole.append(output)
    return whole


def executed(page, timeout=300):
    """The notebook of a page as it is committed."""
    notebook = unexecuted(page)
    here = {"metadata": {"path": str(page.parent)}}
    quiet = ["--IPKernelApp.log_level=ERROR"]  # or every kernel warns of its own transport
    NotebookClient(notebook, timeout=timeout, resources=here, extra_arguments=quiet).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", []):
            for kind in DROPPED:
                output.get("data", {}).pop(kind, None)
    notebook.metadata = nbformat.from_dict(KERNEL)
    return notebook


def write(page):
    nbformat.write(executed(page), page.with_suffix(".ipynb"))
    return page


def content(notebook):
    return [(cell.cell_type, cell["id"], cell.source) for cell in notebook.cells]


def stale():
    """Names of notebooks that are missing, that differ from their page, or that have lost it."""
    paired = {page.with_suffix(".ipynb"): page for page in pages()}
    passing = {"_build", ".ipynb_checkpoints"}
    made = {path for path in BOOK.rglob("*.ipynb") if not passing & {*path.parts}}
    wrong = made ^ paired.keys()
    for path in made & paired.keys():
        if content(nbformat.read(path, as_version=4)) != content(unexecuted(paired[path])):
            wrong.add(path)
    return sorted(str(path.relative_to(ROOT)) for path in wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="run nothing, compare the cells")
    parser.add_argument("pages", nargs="*", type=Path, help="default: all that run something")
    options = parser.parse_args()
    if options.check:
        if names := stale():
            print("not the notebook of its page (run make fresh):", *names, sep="\n  ")
        return bool(names)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ["PYTHONPATH"] = path
    chosen = [page.resolve() for page in options.pages] or pages()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for page in pool.map(write, chosen):
            print("made", page.relative_to(ROOT).with_suffix(".ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
