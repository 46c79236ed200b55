"""The picture beside a verdict: public, small, reproducible, and it shows the mistake."""

import io
import re
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest

from grader import build, exercise, judge_picture
from grader.exercise import ROOT, SourceError, load, sources

SVG = "{http://www.w3.org/2000/svg}"
MISTAKES = [
    (path.parent.name, path.stem, mistake)
    for path in sources()
    for mistake in load(path.parent.name, path.stem).mistakes
]
DRAWN = [
    (section, piece, m, svg)
    for section, piece, m in MISTAKES
    if (svg := judge_picture.picture(section, piece, f"{m.function}_hidden", m.name))
]
PICTURES = [
    (path.parent.name, path.stem, picture)
    for path in sources()
    for picture in load(path.parent.name, path.stem).pictures.values()
]


def picture(name, function="adam_step", section="optimizers", piece="adam"):
    return judge_picture.picture(section, piece, f"{function}_hidden", name)


def lines(svg):
    """The points of the two curves, as they are drawn."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    return [
        np.array([[float(n) for n in pair.split(",")] for pair in line.get("points").split()])
        for line in found
    ]


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# Mistakes whose weights walk the same path on the example.
ALIKE = {
    ("adam_step", "forgets_the_past"),
    ("adam_step", "returns_the_old_means"),
    ("adamw_step", "decay_forgotten"),
    ("adamw_step", "decay_only_of_matrices"),
}


def test_most_mistakes_have_a_picture_and_no_two_of_a_function_have_the_same():
    assert len(DRAWN) > 0.7 * len(MISTAKES)
    for _, _, one in PICTURES:
        of_one = {m.name: svg for _, _, m, svg in DRAWN if m.function == one.function}
        alike = [n for n in of_one if list(of_one.values()).count(of_one[n]) > 1]
        assert {(one.function, n) for n in alike} <= ALIKE
        assert len(of_one) >= 6, one.function


def test_a_picture_is_small_and_says_what_it_shows():
    for _, _, mistake, svg in DRAWN:
        assert len(svg.encode()) <= 15_000
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert mistake.function in root.get("aria-label")
        assert root.find(f"{SVG}title").text == root.get("aria-label")
        assert {"yours", "expected"} <= set(texts(svg))
        # Nothing is asked for, runs, or clashes with the page it is part of.
        assert not re.search(r"href|url\(|<script|<style| id=|<!|<\?", svg)
        assert svg.count("http") == 1 and 'xmlns="http://www.w3.org/2000/svg"' in svg


def test_the_expected_curve_is_the_right_answers_and_yours_is_the_mistakes():
    yours, expected = lines(picture("half_forgotten", "cosine_annealing", "schedules", "cosine"))
    frame = judge_picture.BOTTOM - judge_picture.TOP
    # Twice the height above lr_min: 0.2 + 2 * 0.6 against 0.8, in a window from 0.2 to 1.4.
    margin = 0.05 / 1.1
    np.testing.assert_allclose(yours[0, 1], frame * margin, atol=0.1)
    np.testing.assert_allclose(expected[0, 1], frame * (margin + 0.5 * (1 - 2 * margin)), atol=0.1)
    np.testing.assert_allclose(yours[-1], expected[-1])
    np.testing.assert_allclose(yours[:, 0], expected[:, 0])


def test_the_expected_curve_is_dashed_and_the_other_is_not():
    root = ElementTree.fromstring(picture("no_bias_correction"))
    dashes = [line.get("stroke-dasharray") for line in root.iter(f"{SVG}polyline")]
    assert dashes[0] is None and dashes[1]


def test_a_curve_that_runs_away_leaves_the_expected_one_readable():
    yours, expected = lines(picture("uphill"))
    frame = judge_picture.BOTTOM - judge_picture.TOP
    assert np.ptp(expected[:, 1]) > 0.25 * frame
    assert yours[:, 1].min() < 0 and np.abs(yours).max() < 10 * judge_picture.WIDTH


@pytest.mark.parametrize(
    "name",
    [
        "single_precision",  # no difference that can be seen
        "changes_the_weights_in_place",  # the values are right
        "eps_outside_the_division",  # not a number
        "returns_only_the_weights",  # stops
        "there_is_no_such_mistake",
        None,
    ],
)
def test_where_there_is_nothing_to_see_there_is_no_picture(name):
    assert picture(name) == ""


def test_a_function_without_an_example_has_no_picture(monkeypatch):
    adam = load("optimizers", "adam")
    without = exercise.Exercise(
        adam.section, adam.piece, adam.cells, adam.solves, adam.mistakes, adam.probes
    )
    monkeypatch.setattr(judge_picture, "load", lambda *_: without)
    assert judge_picture.picture.__wrapped__("a", "b", "adam_step_hidden", "uphill") == ""


def test_a_second_process_draws_the_same_bytes():
    section, piece, mistake, svg = DRAWN[0]
    asked = section, piece, f"{mistake.function}_hidden", mistake.name
    code = f"from grader.judge_picture import picture; print(picture(*{asked!r}))"
    again = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert again.stdout == svg + "\n"


# What is public stays apart from what is hidden


def words(text):
    return re.findall(r"\d[\w.]*|\w+|[^\w\s]", text)


def shingles(text, size=8):
    found = words(text)
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


def test_nothing_of_the_hidden_questions_or_of_an_answer_is_in_a_picture():
    for section, piece, mistake, svg in DRAWN:
        known = load(section, piece)
        example = known.pictures[mistake.function]
        said = example.xlabel + example.ylabel + mistake.function
        for text in texts(svg):
            numbers = re.fullmatch(r"[\N{MINUS SIGN}\d.e+]+", text)
            assert numbers or text in said or text in ("yours", "expected"), text
        for probe in known.probes:
            # Both call the function, and alike; what has a number in it is an input.
            alike = shingles(probe.source) & shingles(example.source)
            assert not [part for part in alike if any(word[0].isdigit() for word in part)]
            for aspect in re.findall(r"^def (\w+)", probe.source, re.MULTILINE):
                assert aspect.replace("_", " ") not in svg and aspect not in svg


def test_a_picture_asks_for_no_random_numbers():
    for _, _, example in PICTURES:
        assert "rng" not in example.source and "random" not in example.source


def test_the_example_is_in_no_notebook():
    for section, piece, example in PICTURES:
        made = io.StringIO()
        nbformat.write(build.notebook(load(section, piece)), made)
        shipped = [
            (ROOT / folder / section / f"{piece}.ipynb").read_text()
            for folder in ("solutions", "exercises")
        ]
        for text in (made.getvalue(), *shipped):
            assert example.source not in "\n".join(
                "".join(cell.source) for cell in nbformat.reads(text, 4).cells
            )
            assert example.ylabel not in text or example.ylabel in "weight learning rate"


# The marker


def test_the_marker_is_read_with_its_labels():
    example = load("schedules", "cosine").pictures["cosine_annealing"]
    assert (example.xlabel, example.ylabel) == ("steps done", "learning rate")
    assert example.source.startswith("x = ")


@pytest.mark.parametrize(
    "line, says",
    [
        ('# %% picture="f" xlabel="x"', "xlabel= and ylabel="),
        ('# %% picture="g" xlabel="x" ylabel="y"', "without an answer: g"),
    ],
)
def test_a_picture_without_labels_or_answer_is_refused(tmp_path, monkeypatch, line, says):
    source = (
        '# %% solve="f"\ndef f():\n    return 1\n\n# %% probe="f_hidden" points=1\n'
        f"def a(f):\n    yield f()\n\n{line}\nx, y = [0], [1]\n"
    )
    (tmp_path / "solutions" / "s").mkdir(parents=True)
    (tmp_path / "solutions" / "s" / "p.py").write_text(source)
    monkeypatch.setattr(exercise, "ROOT", tmp_path)
    with pytest.raises(SourceError, match=says):
        load.__wrapped__("s", "p")
