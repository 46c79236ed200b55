"""The probe: whatever an answer returns or raises becomes plain data."""

import fractions
import json

import numpy as np
import pytest

from grader import judge, probe


def encoded(value):
    room = {"values": probe.MOST_VALUES, "bytes": probe.MOST_BYTES}
    return json.loads(json.dumps(probe.encoded(value, room)))


def round_trip(value):
    """The leaves that the judge sees of a value."""
    return judge._leaves(encoded(value))


def asked(source, **student):
    return probe.answers(source, student, seed=0)


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        -0.0,
        7,
        True,
        np.float64(2.5),
        np.float32(0.1),
        np.int8(-3),
        np.uint16(9),
        np.array(3.0),
        np.array([]),
        np.zeros((2, 0)),
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(10.0)[::-3],
        np.arange(3, dtype=">f8"),
        np.array([np.inf, -np.inf, 1e308]),
    ],
    ids=repr,
)
def test_numbers_and_arrays_come_back_as_they_went(value):
    (leaf,) = round_trip(value)
    assert leaf.shape == np.shape(value)
    assert np.array_equal(leaf, np.asarray(value, dtype=np.float64))


def test_a_long_double_is_a_number_too():
    (leaf,) = round_trip(np.array([1.5, 2.5], dtype=np.longdouble))
    assert np.array_equal(leaf, [1.5, 2.5])


def test_nan_comes_back_as_nan():
    (leaf,) = round_trip([np.nan])[:1]
    assert np.isnan(leaf)


def test_lists_and_tuples_are_alike_but_nesting_counts():
    assert encoded((1.0, [2.0])) == encoded([1.0, (2.0,)])
    assert encoded([1.0, 2.0]) != encoded([[1.0, 2.0]])
    assert round_trip(()) == [("end", 0)]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "int64", "bool"])
def test_torch_tensors_are_arrays(dtype):
    torch = pytest.importorskip("torch")
    tensor = torch.ones(2, 3).to(getattr(torch, dtype)).t()
    (leaf,) = round_trip(tensor)
    assert np.array_equal(leaf, np.ones((3, 2)))
    (leaf,) = round_trip(torch.tensor(0.5, dtype=torch.float64, requires_grad=True))
    assert leaf.shape == () and leaf == 0.5


def test_none_and_text_are_told_from_numbers():
    assert encoded(None) == {"text": None}
    assert encoded("x" * 1000) == {"text": "x" * 200}
    assert round_trip(None) == [("text", None)]


@pytest.mark.parametrize(
    "value",
    [
        1j,
        np.array([1.0, None]),
        np.array(["a"]),
        np.array([b"a"]),
        np.datetime64("2020-01-01"),
        np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
        {"w": 1.0},
        {1.0, 2.0},
        lambda: 1.0,
        fractions.Fraction(1, 3),
        object(),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_number_is_strange(value):
    assert set(encoded(value)) == {"strange"}
    ((kind, _),) = round_trip(value)
    assert kind == "strange"


def test_an_array_of_too_many_bytes_ends_the_aspect():
    (told,) = asked("def big(f, rng):\n    yield f()\n", f=lambda: np.zeros(10**6))
    assert told["raised"] == "OverflowError"
    assert told["values"] == []


def test_too_many_values_end_the_aspect():
    (told,) = asked("def many(f, rng):\n    yield f()\n", f=lambda: [0.0] * 30_000)
    assert told["raised"] == "OverflowError"


def test_a_list_that_holds_itself_ends_the_aspect():
    loop = []
    loop.append(loop)
    (told,) = asked("def around(f, rng):\n    yield f()\n", f=lambda: loop)
    assert told["raised"] == "OverflowError"


def test_what_was_handed_out_before_the_end_is_kept():
    source = "def several(f, rng):\n    for x in (2.0, 1.0, 0.0, 5.0):\n        yield f(x)\n"
    (told,) = asked(source, f=lambda x: 1 / x)
    assert told["raised"] == "ZeroDivisionError"
    assert len(told["values"]) == 2


# Purity


def test_arguments_changed_in_place_are_named():
    def step(w, g, lr=0.1):
        w -= lr * g
        return w

    source = (
        "def by_place(step, rng):\n    yield step(np.ones(2), np.ones(2))\n"
        "def by_name(step, rng):\n    yield step(g=np.ones(2), w=np.ones(2))\n"
    )
    assert [told["changed"] for told in asked(source, step=step)] == [["w"], ["w"]]


def test_a_change_is_seen_even_when_the_answer_raises_or_writes_nan():
    def step(w):
        w[0] = np.nan
        raise ValueError

    (told,) = asked("def a(step, rng):\n    yield step(np.array([np.nan, 1.0]))\n", step=step)
    assert told["changed"] == []  # NaN over NaN is no change
    (told,) = asked("def a(step, rng):\n    yield step(np.array([0.0, 1.0]))\n", step=step)
    assert told["changed"] == ["w"] and told["raised"] == "ValueError"


def test_a_pure_answer_changes_nothing():
    (told,) = asked(
        "def a(step, rng):\n    yield step(np.ones(2))\n", step=lambda w: np.copy(w) * 2
    )
    assert told["changed"] == []


def test_an_answer_without_a_signature_is_asked_all_the_same():
    (told,) = asked("def a(step, rng):\n    yield step(4.0)\n", step=np.sqrt)
    assert told["raised"] is None and len(told["values"]) == 1


def test_classes_are_handed_on_as_they_are():
    class Stop:
        pass

    (told,) = asked("def a(Stop, rng):\n    yield isinstance(Stop(), Stop)\n", Stop=Stop)
    assert judge._leaves(told["values"][0]) == [1.0]


# What an answer may do instead of answering


@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, MemoryError]
)
def test_any_exception_is_data(error):
    def raising():
        raise error("secret words")

    (told,) = asked("def a(f, rng):\n    yield f()\n", f=raising)
    # A StopIteration inside a generator reaches the probe as Python turns it: RuntimeError.
    assert told["raised"] == ("RuntimeError" if error is StopIteration else error.__name__)
    assert "secret" not in json.dumps(told)


def test_deep_recursion_is_data():
    def deep(x):
        return deep(x)

    (told,) = asked("def a(f, rng):\n    yield f(1)\n", f=deep)
    assert told["raised"] == "RecursionError"


def test_a_missing_function_is_named_and_the_other_aspects_are_asked():
    source = "def a(f, rng):\n    yield f()\n\ndef b(g, rng):\n    yield g()\n"
    first, second = asked(source, g=lambda: 1.0, f="not a function")
    assert first["missing"] == "f" and first["values"] == []
    assert second["missing"] is None and len(second["values"]) == 1


def test_warnings_are_nobody_s_business():
    (told,) = asked("def a(f, rng):\n    yield f()\n", f=lambda: np.log(np.zeros(1)))
    assert told["raised"] is None


# The source of the questions


def test_aspects_come_in_order_and_helpers_of_numpy_are_none():
    source = "from math import sqrt\ndef b(f):\n    yield 1\n\ndef a(f):\n    yield 2\n"
    assert [aspect.__name__ for aspect in probe.aspects(source)] == ["b", "a"]


def test_settings_are_the_defaults_of_the_aspect():
    (aspect,) = probe.aspects("def a(f, rng, points=3, atol=1e-9):\n    yield 1\n")
    assert probe.settings(aspect) == {"points": 3, "atol": 1e-9, "rtol": 1e-9}


def test_each_aspect_has_its_own_reproducible_numbers():
    source = "def a(rng):\n    yield rng.normal()\n\ndef b(rng):\n    yield rng.normal()\n"
    once, again = probe.hand_out(source, {}, 3), probe.hand_out(source, {}, 3)
    assert once == again != probe.hand_out(source, {}, 4)
    one, two = json.loads(once)
    assert one["values"] != two["values"]


def test_the_probe_imports_nothing_of_ours():
    space = {"__name__": "asked"}
    with open(probe.__file__) as file:
        text = file.read()
    exec(compile(text, "<probe>", "exec"), space)
    assert "grader" not in text.replace("grader.", "") or "import grader" not in text
    assert json.loads(space["hand_out"]("def a(rng):\n    yield 1.0\n", {}, 0))
