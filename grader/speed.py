"""How much faster than nbgrader alone: one made-up class, graded both ways, side by side.

python -m grader.speed                 a class of 120, three rounds
python -m grader.speed --students 500 --rounds 1

Every round grades the same submissions by stock nbgrader (its own Execute, no jail, the first few
students only: it is slow), by plain nbgrader with this course's configuration (jail and judge), and
by `python -m grader grade` (jail, judge, gradebook and pages). Compared is notebooks per second.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from grader.course import CONFIG, pieces, sections
from grader.exercise import ROOT, load

RIGHT = 0.7  # of all functions
STOCK = """
c = get_config()
c.CourseDirectory.course_id = "optimization"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
"""


def notebook(section, piece, rng):
    """An exercise with every function answered, rightly or with a mistake of the catalogue."""
    exercise = load(section, piece)
    answers = dict(exercise.solves)
    for function in answers:
        wrong = [m.source for m in exercise.mistakes if m.function == function]
        if wrong and rng.random() > RIGHT:
            answers[function] = rng.choice(wrong)
    made = json.loads((ROOT / "exercises" / section / f"{piece}.ipynb").read_text())
    for cell in made["cells"]:
        cell["source"] = answers.get(cell["id"], cell["source"])
    return json.dumps(made)


def course(folder, section, students, config):
    """A course with a class that has handed in."""
    rng = random.Random(0)
    for kind in "solutions", "exercises":
        shutil.copytree(ROOT / kind / section, folder / kind / section)
    (folder / CONFIG).write_text(config)
    for number in range(students):
        place = folder / "submitted" / f"student{number:04}" / section
        place.mkdir(parents=True)
        for piece in pieces(section):
            (place / f"{piece}.ipynb").write_text(notebook(section, piece, rng))
    return folder


def seconds(folder, *command):
    """How long a command takes in a course; its words are shown if it fails."""
    scripts = os.path.dirname(sys.executable)  # nbgrader calls `alembic` by name
    env = {"PATH": scripts + os.pathsep + os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True,
        env=os.environ | env | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return time.perf_counter() - began


def race(section, students, few, jobs):
    """One round: notebooks per second of every competitor."""
    ours = (ROOT / CONFIG).read_text()
    autograde = ("nbgrader", "autograde", section)
    arms = {
        "stock nbgrader autograde": (STOCK, few, autograde),
        "plain nbgrader autograde, jail and judge": (ours, few, autograde),
        "python -m grader grade": (ours, students, ("grader", "grade", section, "--jobs", jobs)),
    }
    rates = {}
    for name, (config, size, command) in arms.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = course(Path(folder) / "course", section, size, config)
            seconds(folder, "nbgrader", "generate_assignment", section, "--force")
            rates[name] = size * len(pieces(section)) / seconds(folder, *map(str, command))
    return rates


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m grader.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--section", default="optimizers", choices=sections())
    parser.add_argument("--students", type=int, default=120, help="for our grader (120)")
    parser.add_argument("--few", type=int, default=4, help="for nbgrader (4)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="cores")
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    chosen = parser.parse_args(arguments)
    rounds = [
        race(chosen.section, chosen.students, chosen.few, chosen.jobs)
        for _ in tqdm(range(chosen.rounds), unit="round")
    ]
    stock = next(iter(rounds[0]))
    rows = []
    for name in rounds[0]:
        rates = [r[name] for r in rounds]
        ratios = [r[name] / r[stock] for r in rounds]
        rows.append([name, _spread(rates), _spread(ratios)])
    print(f"{chosen.students} students x {pieces(chosen.section)}, {chosen.jobs} processes")
    print(tabulate(rows, headers=["", "notebooks a second", "times stock"]))
    return 0


def _spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
