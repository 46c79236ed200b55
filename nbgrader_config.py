"""nbgrader's settings: solutions/ is the source, exercises/ the release, the judge gives marks."""

import os
import sys
import warnings

from sqlalchemy.exc import SAWarning

# nbgrader 0.9.6 makes SQLAlchemy 2.1 warn three times for every new student; nothing is wrong.
warnings.simplefilter("ignore", SAWarning)

# nbgrader calls `alembic` by name: found also when the environment is not activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.course_id = "optimization"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
# Everything beside a notebook would be copied to the students.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "*.py", "*.md", "*.db"]
c.ClearSolutions.code_stub = {"python": "# YOUR ANSWER HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "YOUR ANSWER HERE"

c.Autograde.exporter_class = "grader.run.JailedExporter"
c.Autograde.pre_convert_hook = "grader.submission.complete"
c.Autograde.sanitize_preprocessors = [
    "grader.submission.Repair",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "grader.run.RunAndJudge",
    "nbgrader.preprocessors.IgnorePattern",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "grader.run.FlagForReview",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.GenerateFeedback.exporter_class = "grader.feedback.Pages"
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "grader.feedback.Redact",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
# In formgrader nothing that a student wrote may act: see grader.feedback.Text.
c.HTMLExporter.filters = {"markdown2html": "grader.feedback.shown"}
