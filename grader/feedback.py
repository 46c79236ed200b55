"""What a student may see of the graded notebook: no hidden question."""

from nbgrader.preprocessors import NbGraderPreprocessor

from grader.exercise import HIDDEN_BEGIN


class Redact(NbGraderPreprocessor):
    """Cut the hidden part of every cell before the feedback page is written."""

    def preprocess_cell(self, cell, resources, index):
        if HIDDEN_BEGIN in cell.source:
            cell.source = cell.source.split(HIDDEN_BEGIN)[0].rstrip()
        return cell, resources
