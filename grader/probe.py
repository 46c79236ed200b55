"""What runs beside the student's code: it puts questions and hands out raw answers, no verdicts.

The text of this file is sent into the student's kernel, so it imports nothing of ours. Nothing here
is worth stealing or patching: a changed answer is only another wrong answer.
"""

import base64
import functools
import inspect
import json
import warnings

import numpy as np

MOST_VALUES = 20_000  # leaves an aspect may hand out
MOST_BYTES = 4_000_000  # and their size in all


def answers(source, student, seed):
    """Put every aspect in `source` to the functions in `student`; returns a list of dictionaries.

    Each has `aspect`, `points`, `values` (encoded), `changed` (arguments changed in place),
    `raised` (the type of the exception that ended it, or None), `missing` (a name not defined).
    """
    return list(answers_to(aspects(source), student, seed))


def answers_to(asked, student, seed):
    """The same one by one: an aspect is put when its answer is wanted."""
    for index, aspect in enumerate(asked):
        yield _ask(aspect, student, np.random.default_rng([seed, index]))


def aspects(source):
    """The functions that the hidden source defines, in order."""
    space = {"np": np, "__name__": "probe"}
    exec(compile(source, "<hidden>", "exec"), space)
    return [f for f in space.values() if inspect.isfunction(f) and f.__module__ == "probe"]


def settings(aspect):
    """What an aspect declares of itself: points, atol, rtol."""
    defaults = {"points": 1, "atol": 0.0, "rtol": 1e-9}
    for name, parameter in inspect.signature(aspect).parameters.items():
        if name in defaults and parameter.default is not parameter.empty:
            defaults[name] = parameter.default
    return defaults


def _ask(aspect, student, rng):
    told = {"aspect": aspect.__name__.replace("_", " "), "values": [], "changed": []}
    told |= {"raised": None, "missing": None}
    arguments = {}
    for name, parameter in inspect.signature(aspect).parameters.items():
        if name == "rng":
            arguments[name] = rng
        elif parameter.default is parameter.empty:
            if not callable(student.get(name)):
                return told | {"missing": name}
            arguments[name] = _watched(student[name], told["changed"])
    room = {"values": MOST_VALUES, "bytes": MOST_BYTES}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for value in aspect(**arguments):
                told["values"].append(encoded(value, room))
    except BaseException as error:  # an answer may raise anything, SystemExit too
        told["raised"] = type(error).__name__
    return told


def _watched(function, changed):
    """Note which array arguments a call changes in place. Classes are handed on as they are."""
    if inspect.isclass(function):
        return function

    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []

    @functools.wraps(function)
    def watched(*args, **kwargs):
        given = {names[i] if i < len(names) else str(i): x for i, x in enumerate(args)} | kwargs
        before = {k: x.copy() for k, x in given.items() if isinstance(x, np.ndarray)}
        try:
            return function(*args, **kwargs)
        finally:
            for name, old in before.items():
                if given[name].tobytes() != old.tobytes() and name not in changed:
                    changed.append(name)

    return watched


def encoded(value, room, depth=0):
    """A value as JSON: arrays as dtype, shape and bytes; lists and tuples alike as lists."""
    room["values"] -= 1
    if room["values"] < 0 or depth > 6:
        raise OverflowError
    if value is None or isinstance(value, str):
        return {"text": None if value is None else value[:200]}
    if isinstance(value, list | tuple):
        return [encoded(item, room, depth + 1) for item in value]
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return {"strange": type(value).__name__[:40]}
    if array.dtype.itemsize > 8:  # a long double
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    room["bytes"] -= array.nbytes
    if room["bytes"] < 0:
        raise OverflowError
    shape = list(np.shape(value))
    return {"array": [array.dtype.str, shape, base64.b64encode(array.tobytes()).decode()]}


def hand_out(source, student, seed):
    """The answers as one line of JSON."""
    return json.dumps(answers(source, student, seed))
