"""Repairs of Jupyter Book 1.0.4 on Sphinx 7.4, and a download button for the paired notebook.

* Repeated inline scripts are dropped: the second one is an error in the console of every page.
* fontawesome.js is dropped: 1.5 MB a page, and the icons come from the web font.
* The `.ipynb` beside a page is offered for download; the theme does so only for cloud services.
"""

import re
import shutil
from pathlib import Path

FONTAWESOME = re.compile(r'\s*<script defer src="[^"]*fontawesome\.js[^"]*"></script>')


def drop_repeated_scripts(app, pagename, templatename, context, doctree):
    seen, kept = set(), []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in seen:
            kept.append(script)
        seen.add(body)
    context["script_files"] = kept


def paired(app, pagename):
    notebook = Path(app.srcdir, f"{pagename}.ipynb")
    return notebook if notebook.exists() else None


def offer_notebook(app, pagename, templatename, context, doctree):
    if paired(app, pagename):
        context["ipynb_source"] = f"{pagename}.ipynb"


def slim(app, failure):
    if failure or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        if FONTAWESOME.search(text):
            page.write_text(FONTAWESOME.sub("", text), encoding="utf8")
    scripts = out / "_static" / "scripts"
    for unused in {*scripts.glob("*.map"), *scripts.glob("fontawesome.js*")}:
        unused.unlink()
    for name in app.env.found_docs:
        if notebook := paired(app, name):
            copy = out / "_sources" / f"{name}.ipynb"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notebook, copy)


def setup(app):
    app.connect("html-page-context", offer_notebook, priority=400)
    app.connect("html-page-context", drop_repeated_scripts, priority=900)
    app.connect("build-finished", slim, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
