"""What a student may see of the graded notebook: no hidden question."""

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbgrader.preprocessors import NbGraderPreprocessor

from grader.exercise import HIDDEN_BEGIN


class Redact(NbGraderPreprocessor):
    """Cut the hidden part of every cell before the feedback page is written."""

    def preprocess_cell(self, cell, resources, index):
        if HIDDEN_BEGIN in cell.source:
            cell.source = cell.source.split(HIDDEN_BEGIN)[0].rstrip()
        # One picture that is not there would cost the student the whole page.
        if cell.cell_type == "markdown" and not _renders(cell.source, cell.get("attachments", {})):
            cell.source = _quoted(cell.source)
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown", "")
            if not _renders(text, {}):
                output.data["text/markdown"] = _quoted(text)
        return cell, resources


def _renders(text, attachments):
    try:
        MarkdownWithMath(renderer=IPythonRenderer(escape=False, attachments=attachments)).render(
            text
        )
    except Exception:  # whatever it is, nbconvert would stop with it too
        return False
    return True


def _quoted(text):
    return "\n".join("    " + line for line in text.splitlines())
