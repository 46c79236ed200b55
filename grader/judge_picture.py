"""The picture beside a verdict: what was expected, and what the named mistake gives instead.

It is drawn from the mistake's own source on a public example. Neither the hidden questions nor a
student's answer have a part in it, so one drawing serves a whole class. (It is written by hand:
matplotlib takes a tenth of a second for each, the time in which a whole notebook is graded.)
"""

import functools
import html
import warnings

import numpy as np
from matplotlib.ticker import MaxNLocator

from grader.exercise import load
from optlib.figures import COLOURS

LEAST = 0.02  # of the picture's height: curves that are closer look like one
WIDTH, HEIGHT = 340, 190  # of the picture
LEFT, TOP, RIGHT, BOTTOM = 50, 24, 332, 150  # of the frame that the curves lie in


@functools.cache
def picture(section, piece, grade_id, mistake):
    """An inline SVG, or "" where there is no picture or nothing to be seen in it."""
    exercise = load(section, piece)
    function = grade_id.removesuffix("_hidden")
    example = exercise.pictures.get(function)
    known = {m.name: m for m in exercise.mistakes if m.function == function}
    if example is None or mistake not in known:
        return ""
    expected = curve(exercise, example)
    given = curve(exercise, example, known[mistake].source)
    if given is None:
        return ""
    window = _window(expected, given)
    apart = np.abs(np.clip(given[1], *window[1]) - expected[1]).max()
    if apart < LEAST * np.ptp(window[1]):
        return ""
    return drawn(example, expected, given, window)


def curve(exercise, example, answer=None):
    """x and y of the example with the right answer, or with `answer`; None where there is none."""
    space = exercise.namespace(example.function, answer) if answer else exercise.namespace()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            exec(compile(example.source, f"{example.function}: picture", "exec"), space)
            x, y = (np.asarray(space[name], dtype=float) for name in "xy")
    except Exception:  # a mistake may stop with anything, and then has no curve
        return None
    return (x, y) if x.shape == y.shape == (x.size,) and np.isfinite(y).all() else None


def _window(expected, given):
    """What to show: all of what is expected, and of what is given as much again on either side."""
    (x, y), wrong = expected, given[1]
    room = np.ptp(y) or 1.0
    low = min(y.min(), max(wrong.min(), y.min() - room))
    high = max(y.max(), min(wrong.max(), y.max() + room))
    margin = 0.05 * (high - low)
    return (x.min(), x.max()), (low - margin, high + margin)


def drawn(example, expected, given, window):
    """Both curves in one frame. Its grey is the text's colour on the page, light or dark."""
    title = f"{example.function}: {example.ylabel} over {example.xlabel}; expected, and yours"
    dashed = ' stroke-dasharray="7 4"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(title)}" '
        f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" fill="none" '
        'font-family="sans-serif" font-size="11" style="max-width:100%;height:auto">',
        f"<title>{html.escape(title)}</title>",
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" stroke="currentColor" stroke-opacity=".5"/>',
        *_ticks(*window),
        _text((LEFT + RIGHT) / 2, HEIGHT - 6, example.xlabel, "middle"),
        _text(-(TOP + BOTTOM) / 2, 11, example.ylabel, "middle", ' transform="rotate(-90)"'),
        *_key(LEFT + 40, "yours", COLOURS[0]),
        *_key(LEFT + 140, "expected", COLOURS[1], dashed),
        # An svg inside an svg cuts off what leaves it.
        f'<svg x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}">',
        _line(given, window, COLOURS[0]),
        _line(expected, window, COLOURS[1], dashed),
        "</svg></svg>",
    ]
    return "".join(parts)


def _place(values, ends, length):
    # What lies far outside is drawn just outside.
    return np.clip((values - ends[0]) / (ends[1] - ends[0]), -9, 9) * length


def _line(points, window, colour, dashes=""):
    x = _place(points[0], window[0], RIGHT - LEFT)
    y = _place(points[1], window[1][::-1], BOTTOM - TOP)
    path = " ".join(f"{a:.4g},{b:.4g}" for a, b in zip(x, y))
    return f'<polyline points="{path}" stroke="{colour}" stroke-width="2"{dashes}/>'


def _ticks(across, up):
    for value in _round_numbers(across):
        x = LEFT + _place(value, across, RIGHT - LEFT)
        yield f'<path d="M{x:.4g} {BOTTOM}v4" stroke="currentColor" stroke-opacity=".5"/>'
        yield _text(x, BOTTOM + 16, _number(value), "middle")
    for value in _round_numbers(up):
        y = TOP + _place(value, up[::-1], BOTTOM - TOP)
        yield f'<path d="M{LEFT} {y:.4g}h-4" stroke="currentColor" stroke-opacity=".5"/>'
        yield _text(LEFT - 7, y + 4, _number(value), "end")


def _round_numbers(ends):
    values = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(*ends)
    return values[(values >= ends[0]) & (values <= ends[1])]


def _number(value):
    return f"{value + 0.0:.4g}".replace("-", "\N{MINUS SIGN}")


def _key(x, name, colour, dashes=""):
    yield f'<path d="M{x} 12h30" stroke="{colour}" stroke-width="2"{dashes}/>'
    yield _text(x + 36, 16, name, "start")


def _text(x, y, text, anchor, more=""):
    return (
        f'<text x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}" fill="currentColor"{more}>'
        f"{html.escape(text)}</text>"
    )
