"""Build the exercises: source -> instructor's notebook -> the release that nbgrader carves.

python -m grader.build            builds all of them and fills the gradebook
"""

import argparse
import json
import logging
import os
import sys

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config.loader import PyFileConfigLoader

from grader.exercise import HIDDEN_BEGIN, HIDDEN_END, ROOT, load, sources

VISIBLE = "# The marks for {function}: when you hand in, it is asked more than the checks above."
# Without the judge nbgrader would give full marks to a cell that only defines questions.
UNJUDGED = 'raise RuntimeError("judged outside the notebook: use nbgrader_config.py")'


def notebook(exercise):
    """The instructor's notebook of an exercise, the same bytes for the same source."""
    shown = [cell for cell in exercise.cells if not {"wrong", "picture"} & cell[1].keys()]
    cells = [_cell(exercise, number, *cell) for number, cell in enumerate(shown)]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _cell(exercise, number, cell_type, about, source):
    if "probe" in about:
        visible = VISIBLE.format(function=about["probe"].removesuffix("_hidden"))
        source = "\n".join([visible, HIDDEN_BEGIN, source, UNJUDGED, HIDDEN_END])
    make = nbformat.v4.new_code_cell if cell_type == "code" else nbformat.v4.new_markdown_cell
    name = about.get("solve") or about.get("check") or about.get("probe")
    cell = make(source, id=(name or f"{exercise.piece}-{number}")[:64])
    if name is None:
        return cell
    # Visible checks earn nothing: they run in the student's hands.
    answer, grade = "solve" in about, "points" in about
    cell.metadata["nbgrader"] = {
        "grade": grade, "grade_id": name, "locked": not answer, "schema_version": 3,
        "solution": answer, "task": False,
    }  # fmt: skip
    if grade:
        cell.metadata["nbgrader"]["points"] = about["points"]
    return cell


def write_instructors(folder=ROOT / "solutions"):
    """Write every instructor's notebook; returns the sections."""
    sections = []
    for path in sources():
        section, piece = path.parent.name, path.stem
        target = folder / section / f"{piece}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        text = nbformat.writes(notebook(load(section, piece)), version=4)
        target.write_text(json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n")
        sections.append(section)
    return sorted(set(sections))


def course(root=ROOT):
    """The configuration of the course in `root`, and its folders."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    config.CourseDirectory.root = str(root)
    return config, CourseDirectory(config=config)


def release(sections, root=ROOT):
    """Have nbgrader carve the release of each section and record it in the gradebook."""
    config, folders = course(root)
    for section in sections:
        folders.assignment_id = section
        GenerateAssignment(coursedir=folders, config=config, force=True).start()


def ensure_gradebook(assignment, root=ROOT):
    """Make the gradebook's entry for a section if a fresh clone has none yet."""
    _, folders = course(root)
    with Gradebook(folders.db_url, folders.course_id) as gradebook:
        known = any(a.name == assignment for a in gradebook.assignments)
    if not known:
        release([assignment], root)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    logging.getLogger("traitlets").setLevel(logging.ERROR)  # "cell X added" is no news here
    os.chdir(ROOT)
    sections = write_instructors()
    if not sections:
        sys.exit("solutions/ holds no exercise sources")
    release(sections)
    for path in sorted((ROOT / "exercises").glob("*/*.ipynb")):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
