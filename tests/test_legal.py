"""Declared ranges: the ends belong or not, bounds may be arguments, the rule stays itself."""

import inspect
import math

import numpy as np
import pytest
import torch

from optlib.legal import legal


@legal(n="integer [1, inf)", a="[0, 1)", b="(0, n]")
def rule(a, b=1, *, n=3):
    """A rule."""
    return a, b, n


@pytest.mark.parametrize(
    "arguments",
    [(0,), (0.99, 3), (np.float64(0.5), np.int64(2)), (torch.tensor(0.0),), (True - 1,)],
)
def test_inside(arguments):
    assert rule(*arguments)[: len(arguments)] == arguments


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rule(1), r"rule: a is 1; legal: a number in \[0, 1\)$"),
        (lambda: rule(-1e-9), "a is -1e-09"),
        (lambda: rule(math.nan), "a is nan"),
        (lambda: rule(None), "a is None"),
        (lambda: rule("0"), "a is '0'"),
        (lambda: rule(np.zeros(2)), "a is array"),
        (lambda: rule(1j), "a is 1j"),
        (lambda: rule(0, 0), r"b is 0; legal: a number in \(0, n\] with n = 3$"),
        (lambda: rule(0, b=4), "b is 4"),
        (lambda: rule(0, n=0), r"n is 0; legal: an integer in \[1, inf\)$"),
        (lambda: rule(0, n=2.0), r"n is 2.0; legal: an integer"),
        (lambda: rule(0, n=math.inf), "n is inf"),
    ],
)
def test_outside(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_defaults_are_checked_against_given_bounds():
    @legal(b="(0, n]")
    def shorter(n, b=5):
        return b

    with pytest.raises(ValueError, match="b is 5"):
        shorter(4)
    assert shorter(5) == 5


def test_the_rule_stays_itself():
    assert rule.__name__ == "rule" and rule.__doc__ == "A rule."
    assert list(inspect.signature(rule).parameters) == ["a", "b", "n"]
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        rule()
