"""The legal range of an argument, declared beside the rule and checked before it runs."""

import functools
import inspect
import math
import numbers
import re

RANGE = re.compile(r"(integer )?([\[(])(\w+), (\w+)([\])])")


def legal(**ranges):
    """Declare ranges, `@legal(p="[0, 1]", k="integer [1, n]")`; a bound may name an argument.

    A call outside them raises ValueError naming the argument, its value and the legal range.
    """
    parsed = {name: RANGE.fullmatch(words).groups() for name, words in ranges.items()}

    def declare(rule):
        signature = inspect.signature(rule)
        caller = rule.__qualname__.removesuffix(".__init__")

        @functools.wraps(rule)
        def checked(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            for name in ranges:
                _check(caller, name, bound.arguments, *parsed[name])
            return rule(*args, **kwargs)

        return checked

    return declare


def _check(caller, name, arguments, integer, left, low, high, right):
    value, least, most = arguments[name], _bound(low, arguments), _bound(high, arguments)
    try:
        inside = least < value < most or (left == "[" and value == least)
        inside = inside or (right == "]" and value == most)
    except (TypeError, ValueError, RuntimeError):  # a string, an array, a tensor of many elements
        inside = False
    if not inside or (integer and not isinstance(value, numbers.Integral)):
        given = "".join(f" with {x} = {arguments[x]!r}" for x in (low, high) if x in arguments)
        kind = "an integer" if integer else "a number"
        raise ValueError(
            f"{caller}: {name} is {value!r}; legal: {kind} in {left}{low}, {high}{right}{given}"
        )


def _bound(word, arguments):
    return arguments[word] if word in arguments else math.inf if word == "inf" else float(word)
