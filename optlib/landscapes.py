"""Losses of two weights, to look at: each one line, its gradient one line more.

They are pure functions of x and y, for floats and NumPy arrays; the lab runs them as JavaScript.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from numpy import cos, sin


def ravine(x, y):
    """A bowl fifty times steeper across than along."""
    return (x**2 + 50 * y**2) / 2


def ravine_gradient(x, y):
    return x, 50 * y


def tilted_ravine(x, y):
    """The same bowl turned by 45 degrees: steep and flat are no longer coordinates."""
    return ((x + y) ** 2 + 50 * (x - y) ** 2) / 4


def tilted_ravine_gradient(x, y):
    along, across = (x + y) / 2, 50 * (x - y) / 2
    return along + across, along - across


def saddle(x, y):
    """Falls towards the origin along x and away from it along y, into two equal minima."""
    return x**2 / 2 + (y**2 - 1) ** 2 / 4


def saddle_gradient(x, y):
    return x, y * (y**2 - 1)


def banana(x, y):
    """Rosenbrock's curved valley, with 10 in place of his 100."""
    return (1 - x) ** 2 + 10 * (y - x**2) ** 2


def banana_gradient(x, y):
    return -2 * (1 - x) - 40 * x * (y - x**2), 20 * (y - x**2)


def washboard(x, y):
    """A bowl with ripples: between the start and the bottom lie several dips."""
    return x**2 / 8 + (1 - cos(5 * x)) / 8 + y**2 / 2


def washboard_gradient(x, y):
    return x / 4 + 5 * sin(5 * x) / 8, y


@dataclass(frozen=True)
class Landscape:
    """A loss, its gradient, and how to look at it: where to start and what to see."""

    title: str
    value: Callable
    gradient: Callable
    shows: str
    start: tuple[float, float]
    domain: tuple[tuple[float, float], tuple[float, float]]  # of x, of y
    minimum: tuple[float, float]
    rates: dict[str, float] = field(default_factory=dict)  # learning rates that show it


LANDSCAPES = {
    "ravine": Landscape(
        "Ravine",
        ravine,
        ravine_gradient,
        "The steep direction limits the step, the flat one needs a long one: "
        "SGD zigzags and crawls.",
        start=(-3.4, 0.9),
        domain=((-4.0, 4.0), (-1.5, 1.5)),
        minimum=(0.0, 0.0),
        rates={"sgd": 0.036, "momentum": 0.004, "nesterov": 0.004, "rmsprop": 0.08, "adam": 0.15},
    ),
    "tilted_ravine": Landscape(
        "Tilted ravine",
        tilted_ravine,
        tilted_ravine_gradient,
        "The ravine turned by 45°: a step size per coordinate no longer fits its axes.",
        start=(-3.2, -1.4),
        domain=((-4.0, 4.0), (-3.0, 3.0)),
        minimum=(0.0, 0.0),
        rates={"sgd": 0.036, "momentum": 0.004, "nesterov": 0.004, "rmsprop": 0.08, "adam": 0.15},
    ),
    "saddle": Landscape(
        "Saddle",
        saddle,
        saddle_gradient,
        "Almost no slope leads away from the saddle: small gradients make small steps, "
        "unless they are rescaled.",
        start=(1.7, 0.001),
        domain=((-2.0, 2.0), (-1.5, 1.5)),
        minimum=(0.0, 1.0),
        rates={"sgd": 0.05, "momentum": 0.05, "nesterov": 0.05, "rmsprop": 0.05, "adam": 0.05},
    ),
    "banana": Landscape(
        "Curved valley",
        banana,
        banana_gradient,
        "Finding the valley is easy; following its bend to the bottom is the work.",
        start=(-1.6, 0.4),
        domain=((-2.4, 2.4), (-1.0, 2.6)),
        minimum=(1.0, 1.0),
        rates={"sgd": 0.012, "momentum": 0.001, "nesterov": 0.001, "rmsprop": 0.05, "adam": 0.15},
    ),
    "washboard": Landscape(
        "Washboard",
        washboard,
        washboard_gradient,
        "Dips on the way to the bottom: a ball without momentum stops in the first one.",
        start=(-3.5, 1.1),
        domain=((-4.0, 4.0), (-3.0, 3.0)),
        minimum=(0.0, 0.0),
        rates={"sgd": 0.05, "momentum": 0.05, "nesterov": 0.05, "rmsprop": 0.05, "adam": 0.05},
    ),
}
