"""The made-up class that the race against nbgrader grades: every answer is ours, right or wrong."""

import json
import random

import pytest

from grader import speed
from grader.exercise import load


def test_a_class_hands_in_right_and_wrong_answers(tmp_path):
    folder = speed.course(tmp_path / "course", "schedules", 40, speed.STOCK)
    exercise = load("schedules", "cosine")
    (function,) = exercise.solves
    wrong = {m.source for m in exercise.mistakes}
    found = []
    for path in sorted((folder / "submitted").glob("*/schedules/cosine.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        found.append("".join(next(c["source"] for c in cells if c["id"] == function)))
    assert len(found) == 40
    right = found.count(exercise.solves[function])
    assert 20 <= right < 40 and {s for s in found if s != exercise.solves[function]} <= wrong
    assert (folder / "exercises" / "schedules" / "cosine.ipynb").exists()


def test_the_same_class_each_time():
    once, again = (
        [speed.notebook("optimizers", "sgd", random.Random(seed)) for seed in range(20)]
        for _ in range(2)
    )
    assert once == again and len(set(once)) > 5


def test_a_command_that_fails_ends_the_race(tmp_path):
    with pytest.raises(SystemExit, match="no-such-module"):
        speed.seconds(tmp_path, "no-such-module")


def test_the_spread_is_the_median_and_the_ends():
    assert speed._spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
