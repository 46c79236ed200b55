"""Build the book strictly: python book/_tools/build.py [--out FOLDER] [--toc FILE]

A warning is an error. Stored outputs are dropped when the code behind them has changed (Jupyter
Book's cache looks at the cells of a page only) or a result of the experiments has, and what has to
run again runs on all cores first.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CODE = ("optlib/**/*", "requirements.txt")
AHEAD = """
import logging, sys
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
cache = get_cache(sys.argv[1])
for page in sys.argv[2:]:
    cache.add_nb_to_project(page, read_data={"name": "myst_nb_md", "type": "plugin"})
load_executor("local-parallel", cache, logging.getLogger()).run_and_cache(timeout=120)
"""


def fingerprint(*patterns):
    """One hash of the names and contents of the files that match."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file()):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def drop_stale(build):
    """Forget outputs that other code or other results gave, and pages that other code typeset."""
    for name, patterns, stale in (
        ("executed", (*CODE, "experiments/results/*.json"), (".jupyter_cache", ".doctrees")),
        ("typeset", ("book/_ext/*.py", "book/_toc.yml", "experiments/*.py"), (".doctrees",)),
    ):
        mark, now = build / f".{name}-with", fingerprint(*patterns)
        if not mark.exists() or mark.read_text() != now:
            for folder in stale:
                shutil.rmtree(build / folder, ignore_errors=True)
            build.mkdir(parents=True, exist_ok=True)
            mark.write_text(now)


def pages(toc):
    """The files named in a table of contents, in reading order."""
    table = yaml.safe_load(Path(toc).read_text(encoding="utf8"))
    chapters = [entry for part in table.get("parts", []) for entry in part["chapters"]]
    return [BOOK / f"{name}.md" for name in [table["root"], *(c["file"] for c in chapters)]]


def execute_ahead(build, toc):
    """Fill the cache on all cores. A page that fails here fails again, named, in the build."""
    chapters = [p for p in pages(toc) if p.exists() and "{code-cell}" in p.read_text("utf8")]
    if not chapters:
        return
    subprocess.run(
        [sys.executable, "-c", AHEAD, str(build / ".jupyter_cache"), *map(str, chapters)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment(),
    )  # fmt: skip


def environment():
    """This tree's optlib, and one thread a kernel: several run at once, and a sum is one sum."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}


def build(out, toc):
    folder = Path(out).resolve() / "_build"
    drop_stale(folder)
    execute_ahead(folder, toc)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", BOOK]
    command += ["-W", "-n", "--keep-going", "--path-output", out, "--toc", Path(toc).resolve()]
    code = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment()).returncode
    index = folder / "html" / "index.html"
    if code != 0:  # a page that is not read again would not warn again
        shutil.rmtree(folder / ".doctrees", ignore_errors=True)
    if code == 0 and not (index.exists() and index.stat().st_size):
        print(f"The build ended well but made no {index}.", file=sys.stderr)
        code = 1
    return code, index


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=ROOT, help="where _build goes (default: here)")
    parser.add_argument("--toc", default=BOOK / "_toc.yml")
    options = parser.parse_args()
    code, index = build(options.out, options.toc)
    print(f"\nThe book: {index}\n" if code == 0 else "\nThe book was NOT built: see above.\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
