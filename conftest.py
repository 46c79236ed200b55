"""What every test shares: the built book, the browser, and how the committed notebooks compare."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers and kernels share the cores


def pytest_itemcollected(item):
    """The committed notebooks keep text outputs only."""
    notebook = item.parent
    if hasattr(notebook, "skip_compare"):
        skipped = {"image/svg+xml", "image/png", "image/jpeg", "text/html"}
        notebook.skip_compare = (*notebook.skip_compare, *skipped.difference(notebook.skip_compare))


def together(nodeid):
    """What runs on one worker, in order: the cells of a notebook; whatever needs the built book,
    or a class that is graded once.

    (xdist's own marks for this do nothing under pytest 9.2, which xdist 3.8 is older than.)
    """
    file = nodeid.split("::")[0]
    if file.endswith((".ipynb", "grader/test_class.py", "grader/test_cluster.py")):
        return file
    return "book" if file in ("tests/book/test_pages.py", "tests/browser/test_book.py") else nodeid


class Workers:
    @pytest.hookimpl
    def pytest_xdist_make_scheduler(self, config, log):
        from xdist.scheduler import LoadScopeScheduling

        scheduler = LoadScopeScheduling(config, log)
        scheduler._split_scope = together
        return scheduler


def pytest_configure(config):
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers())


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The folder of the strictly built book."""
    out = tmp_path_factory.mktemp("book")
    run = subprocess.run(
        [sys.executable, "book/_tools/build.py", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-6000:]
    return out / "_build" / "html"


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, driven by Playwright."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    quiet += " --disable-background-networking --disable-component-update"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet.split())
        yield browser
        browser.close()
