"""The build on a book of one page: what must fail fails, what must change changes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# Page

"""
RULE = "```{rule} optlib.optimizers.sgd.sgd\n:label: eq-sgd\n```\n\nSee {eq}`eq-sgd`.\n\n"
CELL = """```{code-cell} ipython3
from optlib.optimizers.sgd import sgd
print("moved to", sgd(1.0, 1.0, lr=0.25)[0])
```
"""


class Small:
    def __init__(self, root):
        self.root = root
        for part in ("optlib", "book/_ext", "book/_static", "book/_tools", "book/images"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("_config.yml", "requirements.txt", "book/references.bib"):
            shutil.copy(ROOT / part, root / part)
        (root / "book/extra").mkdir()
        for extension in re.findall(r"(\w+): book/_ext", (ROOT / "_config.yml").read_text()):
            assert (root / f"book/_ext/{extension}.py").exists()
        (root / "book/_toc.yml").write_text("format: jb-book\nroot: index\n")

    def build(self, text=None):
        """Build, with another page if `text` is given; the exit status and all that was said."""
        if text is not None:
            (self.root / "book/index.md").write_text(text)
        run = subprocess.run(
            [sys.executable, "book/_tools/build.py"], cwd=self.root, capture_output=True, text=True
        )
        return run.returncode, re.sub(r"\x1b\[[\d;]*m", "", run.stdout + run.stderr)

    @property
    def page(self):
        html = (self.root / "_build/html/index.html").read_text(encoding="utf8")
        return re.sub(r"<[^>]+>", "", html[html.index("<article") : html.index("</article")])


@pytest.fixture
def small(tmp_path):
    return Small(tmp_path)


def test_a_failing_cell_fails_the_build_and_is_named(small):
    code, said = small.build(HEADER + "```{code-cell} ipython3\nprint(1 / (2 - 2))\n```\n")
    assert code != 0
    assert "index.md" in said
    assert "print(1 / (2 - 2))" in said
    assert "ZeroDivisionError" in said


def test_an_unknown_rule_fails_the_build_and_names_page_and_line(small):
    code, said = small.build("# Page\n\n```{rule} optlib.optimizers.sgd.sdg\n```\n")
    assert code != 0
    assert re.search(r"index\.md:3: .*optlib\.optimizers\.sgd\.sdg", said)


def test_a_changed_rule_changes_equation_listing_and_numbers(small):
    code, said = small.build(HEADER + RULE + CELL)
    assert code == 0, said
    assert "w = w - lr * g" in small.page
    assert r"\eta" in small.page
    assert "One step." not in small.page  # the docstring
    assert "sgd, from optlib/optimizers/sgd.py" in small.page
    assert re.search(r"See \(\d", small.page)
    assert "moved to 0.75" in small.page

    file = small.root / "optlib/optimizers/sgd.py"
    file.write_text(file.read_text().replace("w = w - lr * g", "w = w - 2 * lr * g"))
    code, said = small.build()
    assert code == 0, said
    assert "w = w - 2 * lr * g" in small.page
    assert re.search(r"2\s*\\?,?\s*\\eta", small.page)
    assert "moved to 0.5" in small.page
