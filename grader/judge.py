"""The judge: compares a student's raw answers with the right ones and names the mistake.

It runs on the teacher's side only. What comes from the student is data of checked type and size.
"""

import base64
import builtins
import functools
import inspect
import json
from dataclasses import dataclass

import numpy as np

from grader import probe as asked
from grader.exercise import load

SEEDS = 8  # inputs differ between submissions; few enough to compute the right answers once
MOST_JSON = 12_000_000
DTYPES = {"<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1", "<u4", "<u8", "<u2"}


class Malformed(ValueError):
    """What came out of the student's process is not a list of answers."""


@dataclass(frozen=True)
class Aspect:
    name: str
    points: float
    earned: float


@dataclass(frozen=True)
class Verdict:
    """Marks for one function, the teacher's sentence, and the known mistake if it is one."""

    function: str
    grade_id: str
    points: float
    earned: float
    sentence: str
    aspects: tuple = ()
    mistake: str | None = None
    review: bool = False  # a person should look: the zero is about the machine, not the answer


def judged(section, piece, grade_id, handed_out, seed):
    """The verdict on what `probe.hand_out` printed for one hidden cell."""
    exercise = load(section, piece)
    probe = next(p for p in exercise.probes if p.grade_id == grade_id)
    right = right_answers(section, piece, grade_id, seed)
    try:
        given = decoded(handed_out, right)
    except (Malformed, RecursionError) as error:
        return nothing(probe, f"`{probe.function}` handed out something unreadable: {error}", True)
    told = [
        settings | {"agrees": agree(g, r, settings)}
        for g, r, settings in zip(given, right, _settings(probe.source))
    ]
    if all(t["agrees"] for t in told):
        rows = _rows(probe, right, told, lambda t: True)
        return Verdict(
            probe.function,
            grade_id,
            probe.points,
            probe.points,
            f"`{probe.function}` is right.",
            rows,
        )
    mistake = named(section, piece, grade_id, given, told, seed)
    # A catalogued mistake is another algorithm, and so is whatever fails the first aspect.
    core = told[0]["agrees"] and not (mistake and mistake[1])
    rows = _rows(probe, right, told, lambda t: core and t["agrees"])
    if mistake:
        sentence = mistake[0].because
    else:
        arguments = inspect.signature(exercise.namespace()[probe.function]).parameters
        sentence = described(probe.function, given, right, told, arguments)
    return Verdict(
        probe.function,
        grade_id,
        probe.points,
        sum(r.earned for r in rows),
        sentence,
        rows,
        mistake[0].name if mistake else None,
    )


def nothing(probe, sentence, review=False):
    """No marks, with the reason."""
    return Verdict(probe.function, probe.grade_id, probe.points, 0.0, sentence, review=review)


def _rows(probe, right, told, earns):
    share = probe.points / sum(t["points"] for t in told)
    return tuple(
        Aspect(r["aspect"], t["points"] * share, t["points"] * share if earns(t) else 0.0)
        for r, t in zip(right, told)
    )


@functools.cache
def _aspects(source):
    return asked.aspects(source)


@functools.cache
def _settings(source):
    return [asked.settings(aspect) for aspect in _aspects(source)]


@functools.cache
def right_answers(section, piece, grade_id, seed):
    return list(_own_answers(section, piece, grade_id, seed))


@functools.cache
def mistaken_answers(section, piece, grade_id, seed):
    """For each known mistake of the function: the mistake and the answers it gives."""
    function = grade_id.removesuffix("_hidden")
    return [
        (m, Coming(_own_answers(section, piece, grade_id, seed, m.source)))
        for m in load(section, piece).mistakes
        if m.function == function
    ]


class Coming:
    """A sequence whose items are computed when they are looked at."""

    def __init__(self, items):
        self.items, self.there = items, []

    def __getitem__(self, index):
        while len(self.there) <= index:
            try:
                self.there.append(next(self.items))
            except StopIteration:
                raise IndexError(index) from None
        return self.there[index]


def _own_answers(section, piece, grade_id, seed, answer=None):
    """What the right answer, or another one in its place, answers to each aspect in turn."""
    exercise = load(section, piece)
    source = next(p.source for p in exercise.probes if p.grade_id == grade_id)
    namespace = exercise.namespace(grade_id.removesuffix("_hidden") if answer else None, answer)
    for told in asked.answers_to(_aspects(source), namespace, seed):
        yield told | {"values": [_leaves(value) for value in told["values"]]}


def decoded(handed_out, right):
    """Check and decode what the student's process handed out; raises Malformed."""
    if not isinstance(handed_out, str) or len(handed_out) > MOST_JSON:
        raise Malformed("no answers, or too many")
    try:
        given = json.loads(handed_out)
    except ValueError as error:
        raise Malformed("not JSON") from error
    if not isinstance(given, list) or len(given) != len(right):
        raise Malformed("a different number of aspects")
    return [_answer(g, r["aspect"]) for g, r in zip(given, right)]


def _answer(given, aspect):
    if not isinstance(given, dict) or not isinstance(given.get("values"), list):
        raise Malformed("an aspect without values")
    raised, missing = given.get("raised"), given.get("missing")
    changed = given.get("changed")
    changed = changed if isinstance(changed, list) else []
    return {
        "aspect": aspect,
        "values": [_leaves(value) for value in given["values"][: asked.MOST_VALUES]],
        "changed": [c for c in changed if isinstance(c, str) and c.isidentifier()][:20],
        "raised": raised if isinstance(raised, str) else None,
        "missing": bool(missing),
    }


def _leaves(value, depth=0):
    """An encoded value as a flat list of arrays, text and strange things, with the nesting."""
    if depth > 8:
        raise Malformed("nested too deeply")
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item, depth + 1)] + [("end", len(value))]
    if not isinstance(value, dict) or len(value) != 1:
        raise Malformed("a value of unknown form")
    ((kind, content),) = value.items()
    if kind == "array":
        return [_array(content)]
    if kind in ("text", "strange"):
        return [(kind, content if isinstance(content, str) else None)]
    raise Malformed("a value of unknown kind")


def _array(content):
    try:
        dtype, shape, data = content
        raw = base64.b64decode(data, validate=True)
        known = dtype in DTYPES and len(shape) <= 8 and all(type(n) is int for n in shape)
        # Sizes are told to the student: an empty array must not carry a message in them.
        if not known or not all(0 <= n <= MOST_JSON for n in shape):
            raise Malformed("an array of unknown type")
        return np.frombuffer(raw, dtype).reshape(shape).astype(np.float64)
    except Malformed:
        raise
    except (TypeError, ValueError) as error:
        raise Malformed("an array whose size is not its shape's") from error


def agree(given, right, settings, nan=False):
    """Whether two sets of answers to one aspect are the same within the aspect's tolerance."""
    if given["raised"] != right["raised"] or bool(given["missing"]) != bool(right["missing"]):
        return False
    if set(given["changed"]) != set(right["changed"]):
        return False
    if len(given["values"]) != len(right["values"]):
        return False
    return all(
        len(g) == len(r) and all(same(a, b, settings, nan) for a, b in zip(g, r))
        for g, r in zip(given["values"], right["values"])
    )


def same(given, right, settings, nan=False):
    """Whether one leaf equals another. NaN equals nothing, unless two mistakes are compared."""
    if not isinstance(right, np.ndarray) or not isinstance(given, np.ndarray):
        return type(given) is type(right) and given == right
    if given.shape != right.shape:
        return False
    with np.errstate(all="ignore"):
        finite = np.isfinite(right)
        largest = np.max(np.abs(right[finite]), initial=0.0)
        # What cancels leaves rounding of the size of what was cancelled, not of what is left.
        room = settings["rtol"] * np.abs(right) + settings["atol"] + 1e-14 * largest
        close = finite & (np.abs(given - right) <= room)
        close |= given == right
        if nan:
            close |= np.isnan(given) & np.isnan(right)
    return bool(np.all(close))


def named(section, piece, grade_id, given, told, seed):
    """The known mistake that gives these answers, and whether it gives all of them; or None."""
    failing = [i for i, t in enumerate(told) if not t["agrees"]]
    others = [i for i, t in enumerate(told) if t["agrees"]]
    nearest = None
    for mistake, answers in mistaken_answers(section, piece, grade_id, seed):
        # Most mistakes differ at the first look: what they answer besides is never computed.
        equal = (agree(given[i], answers[i], told[i], nan=True) for i in failing)
        if not all(equal):
            continue
        if all(agree(given[i], answers[i], told[i], nan=True) for i in others):
            return mistake, True
        if nearest is None and _says_something(given, failing):
            nearest = mistake, False
    return nearest


def _says_something(given, failing):
    # Two answers that both crash at once have nothing in common but the crash.
    return any(given[i]["values"] for i in failing)


def described(function, given, right, told, arguments):
    """What can be said of a wrong answer that nobody has catalogued yet.

    It is built from words of ours only: a name the student's code made up could carry a question.
    """
    if all(g["missing"] for g in given):
        return f"There is no `{function}` in the notebook: its cell is empty or failed."
    if all(g["raised"] == "NotImplementedError" and not g["values"] for g in given):
        return f"`{function}` is not written yet: its cell still raises NotImplementedError."
    first = next(i for i, t in enumerate(told) if not t["agrees"])
    aspect, g, r = right[first]["aspect"], given[first], right[first]
    if g["changed"] and agree(g | {"changed": []}, r, told[first]):
        names = [f"`{name}`" for name in arguments if name in g["changed"]]
        which = f"its argument {', '.join(names)}" if names else "an argument"
        return (
            f"The values are right, but `{function}` changes {which} in place: "
            "work on a copy, the caller still needs the old one."
        )
    if g["raised"] and g["raised"] != r["raised"]:
        known = isinstance(getattr(builtins, g["raised"], None), type)
        kind = g["raised"] if known else "an exception"
        return f"`{function}` stopped with {kind} when it was asked about: {aspect}."
    return f"`{function}` goes wrong on: {aspect}. {_difference(g, r, told[first])}"


def _difference(given, right, settings):
    for number, (g, r) in enumerate(zip(given["values"], right["values"]), start=1):
        if len(g) != len(r):
            return f"Answer {number} does not hold as many values as were asked for."
        for a, b in zip(g, r):
            if same(a, b, settings):
                continue
            if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
                return f"Answer {number} is of another kind than was asked for."
            if a.shape != b.shape:
                found = f"shape {a.shape}" if max(a.shape, default=0) < 100 else "another shape"
                return f"Answer {number} has {found}, expected {b.shape}."
            if np.isnan(a).any() and not np.isnan(b).any():
                return f"Answer {number} is not a number (NaN)."
            return (
                f"The first answer that differs is number {number} of {len(right['values'])}; "
                "it is none of the mistakes we know."
            )
    return "It hands out a different number of answers than were asked for."
