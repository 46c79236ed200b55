"""Nothing that a student wrote acts in a page that a teacher opens, formgrader's above all."""

import shutil

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbgrader.server_extensions.formgrader.handlers import template_path
from traitlets.config import Config

from grader import run, sandbox
from grader.course import Course
from grader.exercise import ROOT
from grader.feedback import Feedback

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="no bubblewrap on this machine"),
]
ACT = "window.acted=(window.acted||[]).concat('{}')"
SCRIPT = f"<script>{ACT}</script>"
MARKDOWN = [
    SCRIPT,
    f'<img src=x onerror="{ACT}">',
    f'<p>\n<img src=x onerror="{ACT}">\n</p>',
    f"<svg onload={ACT}></svg>",
    f"<!-- --><svg onload={ACT}></svg>",
    f"| a |\n|---|\n| <img src=x onerror={ACT}> |",
    f"$\\text{{<img src=x onerror={ACT}>}}$",
    f"$$\\href{{javascript:{ACT}}}{{x}}$$",
    f"$x</script>{SCRIPT}$",
    f"[a](<javascript:{ACT}>)",
    f'<http://e.x/" onclick="{ACT}> ![i](x" onerror="{ACT})',
    f'<iframe srcdoc="{SCRIPT}"></iframe>',
    f'<a href="javascript:{ACT}">a</a>',
    f"<details open ontoggle={ACT}>x</details>",
    f"```html\n{SCRIPT}\n```",
    f"<b onclick={ACT}>b</b><b>bold</b>",
]
DATA = {
    "text/html": SCRIPT,
    "text/markdown": SCRIPT,
    "text/latex": SCRIPT,
    "text/plain": SCRIPT,
    "image/svg+xml": f'<svg xmlns="http://www.w3.org/2000/svg">{SCRIPT}</svg>',
    "image/png": f'x" onerror="{ACT}" y="',
    "application/javascript": ACT,
    "application/vnd.jupyter.widget-view+json": '{"model_id": "x"}',
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    notebook = nbformat.read(ROOT / "exercises" / "optimizers" / "sgd.ipynb", as_version=4)
    cells = [nbformat.v4.new_markdown_cell(m.replace("{}", f"m{n}"))
             for n, m in enumerate(MARKDOWN)]  # fmt: skip
    for kind, data in DATA.items():
        source = f"display({{{kind!r}: {data.replace('{}', kind)!r}}}, raw=True)"
        cells.append(nbformat.v4.new_code_cell(source))
    text = SCRIPT.replace("{}", "text")
    cells.append(nbformat.v4.new_code_cell(f"print({text!r}); raise ValueError({text!r})"))
    cells.append(nbformat.v4.new_raw_cell(SCRIPT.replace("{}", "raw")))
    notebook.cells[1:1] = cells
    next(c for c in notebook.cells if c.id == "why").source = SCRIPT.replace("{}", "why")
    folder = tmp_path_factory.mktemp("student") / "optimizers"
    folder.mkdir()
    nbformat.write(notebook, folder / "sgd.ipynb")
    with sandbox.Zygote() as zygote:
        return run.graded(folder / "sgd.ipynb", "optimizers", "sgd", zygote).notebook


def feedback(notebook):
    scores = {c.metadata.nbgrader.grade_id: 0 for c in notebook.cells if "nbgrader" in c.metadata}
    about = {"student": SCRIPT, "assignment": "optimizers", "notebook": "sgd"}
    shown = {"scores": scores, "comments": {"why": SCRIPT}, "late_penalty": 0}
    return Feedback(Course(ROOT).config).page(notebook, about, shown)


def formgrader(notebook):
    """As nbgrader's formgrader shows a submission, without the server around it."""
    config = Config(HTMLExporter={"template_name": "formgrade",
                                  "extra_template_basedirs": [template_path]})  # fmt: skip
    config.merge(Course(ROOT).config)
    about = "assignment_id notebook_id submission_id base_url last_name first_name notebook_path"
    resources = dict.fromkeys([*about.split(), "student"], "x") | {"index": 0, "total": 1}
    html, _ = HTMLExporter(config=config).from_notebook_node(notebook, resources=resources)
    return html


@pytest.mark.parametrize("page", [feedback, formgrader])
def test_nothing_of_a_student_s_acts(graded, page, chromium, tmp_path):
    html = page(nbformat.from_dict(graded))
    (tmp_path / "page.html").write_text(html)
    opened = chromium.new_page()
    opened.route("http*://**", lambda route: route.abort())
    opened.goto((tmp_path / "page.html").as_uri(), wait_until="load")
    for place in opened.query_selector_all("b, details, img, svg"):
        place.dispatch_event("click")
    opened.wait_for_timeout(300)
    assert opened.evaluate("window.acted || []") == []
    assert not opened.query_selector_all("[href^='javascript' i]")
    assert "<b>bold</b>" in html
    opened.close()


def test_the_judge_s_own_table_and_picture_are_shown(graded):
    assert "<table>" in feedback(graded) or "is not written yet" in feedback(graded)
