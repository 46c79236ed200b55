"""The judge: marks and a teacher's sentence for raw answers, whatever they are made of."""

import base64
import json

import numpy as np
import pytest

from grader import judge, probe
from grader.exercise import Exercise, Mistake, Probe

RIGHT = "def step(w, g, lr=0.1):\n    return w - lr * g, g"
HIDDEN = """
def the_steps(step, rng, points=2):
    for _ in range(3):
        w, g = rng.normal(size=(2, 3))
        yield step(w, g, 0.2), w, g

def single_numbers(step, rng):
    yield step(np.float64(2.0), np.float64(1.0))

def zeros(step, rng):
    yield step(np.zeros(2), np.zeros(2))
"""
UPHILL = "def step(w, g, lr=0.1):\n    return w + lr * g, g"
IN_PLACE = "def step(w, g, lr=0.1):\n    w -= lr * g\n    return w, g"
LATE = """
def step(w, g, lr=0.1):
    return (w - lr * g if np.ndim(w) else w * lr), g
"""
TOY = Exercise(
    "tests",
    "toy",
    cells=(("code", {}, "import numpy as np"), ("code", {"solve": "step"}, RIGHT)),
    solves={"step": RIGHT},
    mistakes=(
        Mistake("step", "uphill", "You climb.", UPHILL),
        Mistake("step", "in_place", "You wrote into w.", IN_PLACE),
        Mistake("step", "late", "A single number is no array.", LATE),
    ),
    probes=(Probe("step_hidden", 4.0, HIDDEN),),
)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(judge, "load", lambda section, piece: TOY)


def ask(answer, seed=1):
    namespace = {"np": np}
    exec(answer, namespace)
    return probe.hand_out(HIDDEN, namespace, seed)


def judged(handed_out, seed=1):
    return judge.judged("tests", "toy", "step_hidden", handed_out, seed)


def verdict_on(answer):
    return judged(ask(answer))


def array(*shape, dtype="<f8", data=None):
    raw = np.zeros(shape).tobytes() if data is None else data
    return {"array": [dtype, list(shape), base64.b64encode(raw).decode()]}


# Marks


def test_a_right_answer_has_all_marks():
    verdict = verdict_on(RIGHT)
    assert (verdict.earned, verdict.points) == (4, 4)
    assert [(a.name, a.earned, a.points) for a in verdict.aspects] == [
        ("the steps", 2, 2), ("single numbers", 1, 1), ("zeros", 1, 1),
    ]  # fmt: skip
    assert verdict.sentence == "`step` is right."
    assert not verdict.review


def test_a_known_mistake_has_none_even_where_it_does_not_show():
    verdict = verdict_on(UPHILL)
    assert (verdict.earned, verdict.sentence, verdict.mistake) == (0, "You climb.", "uphill")


def test_a_known_mistake_has_none_even_where_the_core_holds():
    verdict = verdict_on(LATE)
    assert (verdict.earned, verdict.mistake) == (0, "late")


def test_an_unknown_mistake_keeps_the_marks_of_what_is_right():
    verdict = verdict_on(
        "def step(w, g, lr=0.1):\n"
        "    if np.shape(w) == ():\n        return np.array([w - lr * g]), g\n"
        "    return w - lr * g, g"
    )
    assert [a.earned for a in verdict.aspects] == [2, 0, 1]
    assert verdict.earned == 3
    assert verdict.mistake is None
    assert "single numbers" in verdict.sentence and "shape (1,), expected ()" in verdict.sentence


def test_without_the_core_there_are_no_marks():
    verdict = verdict_on(
        "def step(w, g, lr=0.1):\n    return (w - lr*g if np.size(w) < 3 else w), g"
    )
    assert verdict.earned == 0
    assert "the steps" in verdict.sentence and "number 1 of 9" not in verdict.sentence


def test_the_points_of_the_aspects_add_up_to_those_of_the_cell():
    verdict = verdict_on("step = None")
    assert sum(a.points for a in verdict.aspects) == verdict.points


# Sentences


@pytest.mark.parametrize(
    "answer, said",
    [
        ("", "There is no `step` in the notebook"),
        ("step = 3", "There is no `step` in the notebook"),
        ("def step(w, g, lr=0.1):\n    raise NotImplementedError", "is not written yet"),
        ("def step(w, g, lr=0.1):\n    return w / 0 + undefined", "stopped with NameError"),
        ("def step(w, g):\n    return w, g", "stopped with TypeError"),
        ("def step(w, g, lr=0.1):\n    raise SystemExit", "stopped with SystemExit"),
        ("def step(w, g, lr=0.1):\n    return np.reshape(w - lr*g, (-1, 1)), g", "shape (3, 1)"),
        ("def step(w, g, lr=0.1):\n    return w - lr * g * np.nan, g", "not a number (NaN)"),
        ("def step(w, g, lr=0.1):\n    return w - lr * g", "as many values"),
        ("def step(w, g, lr=0.1):\n    return None, g", "of another kind"),
        ("def step(w, g, lr=0.1):\n    return (w - lr * g).astype(object), g", "another kind"),
        ("def step(w, g, lr=0.1):\n    return w - 1j * g, g", "of another kind"),
        ("def step(w, g, lr=0.1):\n    return w - 3 * g, g", "none of the mistakes we know"),
    ],
)
def test_what_is_said_of_an_answer_nobody_knows(answer, said):
    verdict = verdict_on(answer)
    assert said in verdict.sentence
    assert verdict.earned == 0 and verdict.mistake is None and not verdict.review


def test_changing_an_argument_in_place_is_said_by_name():
    answer = (
        "def step(w, g, lr=0.1):\n    new = w - lr * g, g.copy()\n    g[...] *= lr\n    return new"
    )
    handed_out = json.loads(ask(answer))
    for told in handed_out:  # as if the questions handed out nothing but the answer
        told["values"] = [t["values"] for t in json.loads(ask(RIGHT))][handed_out.index(told)]
    verdict = judged(json.dumps(handed_out))
    assert "changes its argument `g` in place" in verdict.sentence
    assert verdict.earned == 0


def test_a_mistake_that_only_purity_shows_is_named():
    assert verdict_on(IN_PLACE).mistake == "in_place"


# Words that the student's code made up could carry the questions out


def test_no_word_of_the_student_s_is_repeated():
    handed_out = json.loads(ask(RIGHT))
    handed_out[0]["changed"] = ["the_hidden_text", "<script>", 7]
    assert "hidden_text" not in judged(json.dumps(handed_out)).sentence
    assert "an argument in place" in judged(json.dumps(handed_out)).sentence

    class_named = (
        "class the_hidden_text(Exception): pass\ndef step(w, g, lr=0.1):\n    raise the_hidden_text"
    )
    assert "stopped with an exception" in verdict_on(class_named).sentence
    handed_out = json.loads(ask(RIGHT))
    handed_out[0]["values"][0] = [array(0, 104, 105, 100), array(3)]
    assert "104" not in judged(json.dumps(handed_out)).sentence
    handed_out[0]["values"][0] = [{"strange": "the hidden text"}, {"text": "the hidden text"}]
    assert "hidden text" not in judged(json.dumps(handed_out)).sentence


# Answers that are none


@pytest.mark.parametrize(
    "handed_out",
    [
        None,
        7,
        "",
        "{",
        "null",
        "{}",
        "[]",
        "[1, 2, 3]",
        "[[], [], []]",
        '[{"values": 1}, {"values": []}, {"values": []}]',
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 100_000,
        "x" * (judge.MOST_JSON + 1),
        json.dumps({"earned": 4, "points": 4}),
    ],
    ids=lambda h: repr(h)[:20],
)
def test_what_is_no_list_of_answers_is_for_a_person(handed_out):
    verdict = judged(handed_out)
    assert verdict.earned == 0 and verdict.review
    assert "unreadable" in verdict.sentence


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "text",
        {},
        {"array": 1},
        {"array": []},
        {"array": ["<f8", [2], ""]},
        {"array": ["<f8", [2], 5]},
        {"array": ["<f8", [2], "!!"]},
        {"array": ["<f8", "2", ""]},
        {"array": [["<f8"], [0], ""]},
        {"array": ["|O", [0], ""]},
        {"array": ["<U4", [0], ""]},
        {"array": ["<f8,<f8", [0], ""]},
        {"array": ["<f8", None, ""]},
        {"array": ["<f8", [float("inf")], ""]},
        {"array": ["<f8", [float("nan")], ""]},
        {"array": ["<f8", [0, 10**30], ""]},
        {"array": ["<f8", [0, 2**62, 2**62], ""]},
        {"array": ["<f8", [-1], ""]},
        {"array": ["<f8", [True] * 2, array(1)["array"][2]]},
        {"array": ["<f8", [1] * 9, array(1)["array"][2]]},
        {"array": ["<f8", [1] * 70, array(1)["array"][2]]},
        {"pickle": "gASVAAA="},
        {"array": array(1)["array"], "text": "two kinds"},
        [[[[[[[[[[1]]]]]]]]]],
    ],
    ids=lambda v: json.dumps(v)[:40],
)
def test_what_is_no_value_is_for_a_person(value):
    handed_out = json.loads(ask(RIGHT))
    handed_out[1]["values"] = [value]
    verdict = judged(json.dumps(handed_out))
    assert verdict.earned == 0 and verdict.review


@pytest.mark.parametrize("key, value", [("raised", 7), ("raised", ["x"]), ("changed", "w")])
def test_odd_fields_beside_right_values_do_no_harm(key, value):
    handed_out = json.loads(ask(RIGHT))
    handed_out[0][key] = value
    assert judged(json.dumps(handed_out)).earned == 4


def test_points_and_names_that_the_student_sends_are_not_read():
    handed_out = json.loads(ask(UPHILL))
    for told in handed_out:
        told |= {"points": 1000, "aspect": "<b>mine</b>", "agrees": True, "earned": 4}
    verdict = judged(json.dumps(handed_out))
    assert verdict.earned == 0 and verdict.sentence == "You climb."


# Comparing


def test_answers_to_other_numbers_are_wrong():
    assert judged(ask(RIGHT, seed=2), seed=1).earned < 4


EXACT = {"rtol": 1e-9, "atol": 0.0}


@pytest.mark.parametrize(
    "given, right, alike",
    [
        (1.0, 1.0 + 1e-10, True),
        (1.0, 1.0 + 1e-8, False),
        (np.nan, 1.0, False),
        (np.nan, np.nan, False),
        (1.0, np.nan, False),
        (np.inf, np.inf, True),
        (-np.inf, np.inf, False),
        (np.inf, 1e308, False),
        (1e308, np.inf, False),
        (0.0, -0.0, True),
        (1e-300, 0.0, False),
        (np.ones((3, 1)), np.ones(3), False),
        (np.ones(1), np.float64(1.0), False),
        (np.ones(3), np.ones((1, 3)), False),
        (np.zeros((0, 3)), np.zeros((0, 4)), False),
        (np.zeros(0), np.zeros(0), True),
        # What cancels leaves rounding of the size of what was cancelled.
        ([1e8, 5e-7], [1e8, 0.0], True),
        ([1e8, 5e-6], [1e8, 0.0], False),
        ([np.inf, 5e-9], [np.inf, 0.0], False),
    ],
)
def test_when_two_numbers_are_the_same(given, right, alike):
    given, right = (np.asarray(x, dtype=np.float64) for x in (given, right))
    assert judge.same(given, right, EXACT) is alike


def test_the_floor_of_an_aspect_is_its_own():
    given, right = np.array([1e-13]), np.array([0.0])
    assert judge.same(given, right, {"rtol": 1e-9, "atol": 1e-12})
    assert not judge.same(given, right, EXACT)


def test_kinds_do_not_mix():
    assert not judge.same(("text", None), np.array(0.0), EXACT)
    assert not judge.same(np.array(0.0), ("end", 0), EXACT)
    assert judge.same(("text", None), ("text", None), EXACT)


def test_two_mistakes_with_nan_in_the_same_place_are_the_same_mistake():
    nan = np.array([np.nan, 1.0])
    assert judge.same(nan, nan, EXACT, nan=True)
    assert not judge.same(nan, nan[::-1], EXACT, nan=True)
