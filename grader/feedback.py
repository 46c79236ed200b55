"""What a student may see of the graded notebook: nbgrader's page, with no hidden question on it."""

import contextlib
import functools
import re
import secrets
from html import escape
from html.parser import HTMLParser

import latex2mathml.converter
import nbformat
from bs4 import BeautifulSoup
from bs4.builder import HTMLTreeBuilder
from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbgrader import utils
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor

from grader.exercise import HIDDEN_BEGIN

MOST_FORMULA = 2000  # characters
# What draws formulas in nbgrader's template: loaded from another machine.
PROGRAM = re.compile("<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.DOTALL)

# The beginning of a tag that could do more than set a text: any with an attribute, most others.
UNSAFE = re.compile(r"<(?!/?(?:b|br|code|em|i|kbd|p|strong|sub|sup|u)\s*/?>)", re.IGNORECASE)


class Redact(NbGraderPreprocessor):
    """Cut the hidden part of every cell before the feedback page is written."""

    def preprocess_cell(self, cell, resources, index):
        if HIDDEN_BEGIN in cell.source:
            cell.source = cell.source.split(HIDDEN_BEGIN)[0].rstrip()
        # One picture that is not there would cost the student the whole page.
        if cell.cell_type == "markdown" and not _renders(cell.source, cell.get("attachments")):
            cell.source = _quoted(cell.source)
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown", "")
            if text and not _renders(text):
                output.data["text/markdown"] = _quoted(text)
        return cell, resources


def _renders(text, attachments=None):
    try:
        _rendered(text) if not attachments else _render(text, attachments)
    except Exception:  # whatever it is, nbconvert would stop with it too
        return False
    return True


def _render(text, attachments):
    return MarkdownWithMath(
        renderer=Text(escape=False, allow_harmful_protocols=False, attachments=attachments)
    ).render(text)


class Text(IPythonRenderer):
    """Formulas become MathML: a browser draws it, and fetches no program from elsewhere for it.

    What a student wrote is shown to the teacher, in formgrader beside a session that may do all
    that the teacher may: of its HTML only bare tags act.
    """

    def block_html(self, html):
        return UNSAFE.sub("&lt;", html)

    inline_html = block_html

    def inline_math(self, body):
        return _formula(body, "inline")

    def block_math(self, body):
        return _formula(body, "block")

    def latex_environment(self, name, body):
        whole = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        return _formula(whole, "block")


@pass_context
def shown(context, source):
    """The filter `markdown2html` of nbgrader's formgrader."""
    attachments = context.get("cell", {}).get("attachments", {})
    return _render(source if _renders(source, attachments) else _quoted(source), attachments)


def _formula(body, display):
    made = None
    with contextlib.suppress(Exception):  # students write what they like
        if len(body) <= MOST_FORMULA:
            made = latex2mathml.converter.convert(body, display=display)
    if made is None or "href=" in made:  # a formula that is a link could lead to a script
        return f"<code>{escape(body)}</code>"
    return made


@functools.lru_cache(maxsize=1000)  # the exercise's own text is the same for the whole class
def _rendered(text):
    return _render(text, {})


def _quoted(text):
    return "\n".join("    " + line for line in text.splitlines())


class Scores(NbGraderPreprocessor):
    """In place of nbgrader's GetGrades: the same entries, from data instead of a database."""

    def preprocess(self, nb, resources):
        shown = resources["nbgrader"]["shown"]
        for cell in nb.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if utils.is_solution(cell) or utils.is_task(cell):
                cell.metadata.nbgrader["comment"] = shown["comments"].get(grade_id)
            if utils.is_grade(cell) or utils.is_task(cell):
                cell.metadata.nbgrader["score"] = shown["scores"][grade_id]
        points = sum(
            float(c.metadata.nbgrader["points"])
            for c in nb.cells
            if utils.is_grade(c) or utils.is_task(c)
        )
        resources["nbgrader"] |= {
            "score": sum(shown["scores"].values()) - shown["late_penalty"],
            "max_score": points,
            "late_penalty": shown["late_penalty"],
        }
        return nb, resources


class Pages(HTMLExporter):
    """nbconvert's exporter, fast, and its pages need nothing that does not lie in them.

    nbconvert parses every finished page again to give pictures a text. What a class has in common
    (style sheets, the exercise's own cells, the verdicts) is nearly all of a page: it is parsed
    once, left out where the page is parsed, and put in its place afterwards.
    """

    optimistic_validation = True

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.mark = f"x-{secrets.token_hex(16)}"  # no student can know it
        self.parts = {}
        mine = {"highlight_code": self._coloured, "markdown2html": self.markdown2html}
        self.filters = {**self.filters, **mine}

    def from_notebook_node(self, nb, resources=None, **more):
        self.parts = {}
        html, resources = super().from_notebook_node(nb, resources, **more)
        html = PROGRAM.sub("", html, count=1)
        pieces = re.split(f"<({self.mark}-[0-9]+)></{self.mark}-[0-9]+>", html)
        pieces[1::2] = [self.parts[name] for name in pieces[1::2]]
        return "".join(pieces), resources

    def _preprocess(self, nb, resources):
        nb, resources = super()._preprocess(nb, resources)
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                if html := output.get("data", {}).get("text/html"):
                    output.data["text/html"] = self._left_out(html)
        return nb, resources

    def _init_resources(self, resources):
        resources = super()._init_resources(resources)
        include = resources["include_css"]
        resources["include_css"] = lambda name: self._left_out(str(include(name)))
        return resources

    def _coloured(self, source, language=None, metadata=None, **_):
        return self._left_out(_colours(source))

    @pass_context
    def markdown2html(self, context, source):
        attachments = context.get("cell", {}).get("attachments")
        return self._left_out(_render(source, attachments) if attachments else _rendered(source))

    def _left_out(self, html):
        part = _parsed(html)
        if part is None:
            return html
        name = f"{self.mark}-{len(self.parts)}"
        self.parts[name] = part
        return f"<{name}></{name}>"


coloured = Highlight2HTML(pygments_lexer="python")


@functools.lru_cache(maxsize=1000)
def _colours(source):
    return coloured(source)


@functools.lru_cache(maxsize=1000)
def _parsed(html):
    """HTML as nbconvert's parser leaves it; None where what follows it could make a difference."""
    html = html.strip()  # white space at its ends melts into the template's
    if not (html.startswith("<") and html.endswith(">") and Nesting(html).closed):
        return None
    soup = BeautifulSoup(html, features="html.parser")
    for picture in soup.select("img:not([alt])"):
        picture.attrs["alt"] = "No description has been provided for this image"
    return str(soup)


class Nesting(HTMLParser):
    """Whether every tag of some HTML is closed in it, in the right order, and none besides."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.closed = [], True
        self.feed(html)
        self.closed = self.closed and not self.tags and not self.rawdata

    def handle_starttag(self, tag, attrs):
        if tag not in HTMLTreeBuilder.DEFAULT_EMPTY_ELEMENT_TAGS:
            self.tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        self.closed = bool(self.tags) and self.tags.pop() == tag and self.closed


class Feedback:
    """Writes the pages of a course, with its settings. Made once per process."""

    def __init__(self, config):
        converter = GenerateFeedback(coursedir=CourseDirectory(config=config), config=config)
        self.exporter = Pages(parent=converter, config=converter.config)
        for preprocessor in converter.preprocessors:
            name = preprocessor if isinstance(preprocessor, str) else preprocessor.__name__
            mine = Scores if name.endswith("GetGrades") else preprocessor
            self.exporter.register_preprocessor(mine)

    def page(self, notebook, about, shown):
        """The page as text. `shown`: scores and comments by cell, late_penalty."""
        about = about | {"shown": shown}
        resources = {
            "unique_key": about["notebook"],
            "output_files_dir": f"{about['notebook']}_files",
            "metadata": {"name": about["notebook"], "path": ""},
            "nbgrader": about,
        }
        return self.exporter.from_notebook_node(nbformat.from_dict(notebook), resources)[0]
