"""Measured numbers, tables and figures: printed from experiments/results, never typed.

    {measured}`double_well | what=schedule; arm=cosine | escaped | percent`

is the value of one column in the one row that the filter names: mean and 95 % interval. The fourth
field is a list of words:

    percent     a share, as per cent             mean       without the interval
    %           is per cent already              digits=3   significant digits of the interval
    / arm=sgd   over the same column of that row
    above 0     fail unless the whole interval is above this number; also `below 0`, `around 0`

The words of a sentence can so be tied to the number in it: a build in which a later run no longer
bears them out fails.

    ```{measured-table} double_well           ```{measured-figure} double_well
    :where: what=schedule                     :name: fig-double-well
    :caption: Four schedules.                 :alt: What one sees.
    arm     | schedule                        :caption: What it says.
    escaped | escaped | percent               ```
    ```

A figure is what the experiment's own `picture(rows)` draws. Tables and figures end with seeds,
date, processor and the command that repeats them. Whatever is unknown, or not one row, is an error
of the build; a result of other code than the one that stands beside it is a warning.
"""

import hashlib
import io
import json
import math
import os
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)
MINUS, TIMES, NARROW = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{NARROW NO-BREAK SPACE}"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
CENTRES = ("mean", "median", "middle")


class Unknown(ValueError):
    """What a page asks for is not in the result; the message says what is."""


# --- results -------------------------------------------------------------------------------------


def root():
    return Path(import_module("experiments.provenance").ROOT)


def load(name):
    """Return a result, whole; `name.full` is that of the larger settings."""
    folder = root() / "experiments" / "results"
    path = folder / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json")))
        raise Unknown(f"there is no result {name!r}; there are {known}")
    return json.loads(path.read_text(encoding="utf8"))


def current_code(name):
    """Return the hash that a result of the code as it stands would carry."""
    name = name.removesuffix(".full")
    if name in import_module("experiments.measure").experiments():
        return import_module("experiments.provenance").code_hash(name)
    return import_module(f"experiments.{name}").code()


def files(name):
    """Return what a page is made of that shows a result: it is read again when they change."""
    folder = root() / "experiments"
    return folder / "results" / f"{name}.json", folder / f"{name.removesuffix('.full')}.py"


def conditions(text):
    """Read `key=value; key=value`."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    if any(not equals for _, equals, _ in pairs):
        raise Unknown(f"{text!r} is no filter: write key=value; key=value")
    return {key.strip(): value.strip() for key, _, value in pairs}


def same(value, text):
    """Say whether a value of a row is the one that a page names."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value) == text
    if isinstance(value, int | float):
        try:
            return math.isclose(value, float(text), rel_tol=1e-9)
        except ValueError:
            return False
    return value == text


def choose(rows, wanted):
    """Return the rows that agree with all of `wanted`, a dict from key to text."""
    keys = {key for row in rows for key, value in row.items() if not isinstance(value, dict | list)}
    for key in wanted:
        if key not in keys:
            raise Unknown(f"no row has {key!r}; there are {', '.join(sorted(keys))}")
    found = [
        row for row in rows if all(k in row and same(row[k], text) for k, text in wanted.items())
    ]
    if not found:
        of = {key: sorted({str(row[key]) for row in rows if key in row}) for key in wanted}
        raise Unknown(f"no row matches {wanted}; the values are {of}")
    return found


def one(rows, wanted):
    """Return the one row that agrees with `wanted`."""
    found = choose(rows, wanted)
    if len(found) > 1:
        keys = {k for row in found for k, v in row.items() if not isinstance(v, dict | list)}
        differ = {k: sorted({str(row.get(k)) for row in found}) for k in sorted(keys)}
        differ = {k: v for k, v in differ.items() if len(v) > 1}
        raise Unknown(f"{len(found)} rows match {wanted}; they differ in {differ}")
    return found[0]


def value(row, column):
    """Return what a row says under `column`; a dot goes one level down, as in `to.fused`.

    The dot alone is the row itself, where it is a mean with its interval.
    """
    if column == ".":
        return row
    of = row
    for key in column.split("."):
        index = int(key) if isinstance(of, list) and key.isdigit() and int(key) < len(of) else key
        if not (isinstance(of, list) and index != key) and not (isinstance(of, dict) and key in of):
            known = sorted(of) if isinstance(of, dict) else type(of).__name__
            raise Unknown(f"there is no column {column!r}; there are {known}")
        of = of[index]
    return of


# --- numbers in words ----------------------------------------------------------------------------


def options(text):
    """Read the fourth field: a dict of what was asked for."""
    before, _, over = text.partition("/")
    words, asked = before.split(), {}
    while words:
        word = words.pop(0)
        if word in ("percent", "%", "mean"):
            asked[word] = True
        elif word in ("above", "below", "around") and words:
            asked[word] = number(words.pop(0))
        elif word.startswith("digits="):
            asked["digits"] = int(number(word.removeprefix("digits=")))
        else:
            raise Unknown(f"{word!r} is no option of a number")
    return asked | ({"over": conditions(over)} if over else {})


def number(text):
    try:
        return float(text)
    except ValueError:
        raise Unknown(f"{text!r} is no number") from None


def limits(of):
    """Return (low, middle, high) of a value; all the same where it is a plain number."""
    if isinstance(of, dict):
        centre = next((of[key] for key in CENTRES if key in of), None)
        if centre is None or None in (of.get("low"), of.get("high")):
            raise Unknown(f"{sorted(of)} is no number with an interval")
        return of["low"], centre, of["high"]
    if isinstance(of, bool) or not isinstance(of, int | float):
        raise Unknown(f"{of!r} is no number")
    return of, of, of


def ratio(of, to):
    """Return the first value over the second, pair by pair where both know their seeds."""
    pairs = [each.get("values") if isinstance(each, dict) else None for each in (of, to)]
    if all(pairs) and len(pairs[0]) == len(pairs[1]):
        protocol = import_module("experiments.protocol")
        return protocol.spread([a / b for a, b in zip(*pairs)])
    (low, a, high), (bottom, b, top) = limits(of), limits(to)
    if low != high or bottom != top:
        raise Unknown("a ratio needs two plain numbers, or two columns with the seeds' values")
    return a / b


def check(of, asked):
    """Fail where the number does not bear out what the page says of it."""
    low, _, high = limits(of)
    if "above" in asked and not low > asked["above"]:
        raise Unknown(f"[{low:.4g}, {high:.4g}] is not above {asked['above']:g}")
    if "below" in asked and not high < asked["below"]:
        raise Unknown(f"[{low:.4g}, {high:.4g}] is not below {asked['below']:g}")
    if "around" in asked and not low <= asked["around"] <= high:
        raise Unknown(f"[{low:.4g}, {high:.4g}] does not hold {asked['around']:g}")


def decimals(x, digits):
    """Return how many places after the point show `digits` significant digits of x."""
    return digits - 1 - math.floor(math.log10(abs(x))) if x else 0


def plain(x, places):
    """Return x to `places` places after the point, or before it; long ones in groups of three."""
    x = round(x, places) + 0.0  # no minus before a zero
    text = f"{x:,.{max(places, 0)}f}".replace("-", MINUS)
    return text.replace(",", NARROW if abs(x) >= 10_000 else "")


def say(of, asked=None):
    """Return a value as a page prints it.

    The interval has two significant digits and the mean as many places; a number without one, and
    one whose interval is nothing, has four digits. Very small numbers and very large ones are given
    with a power of ten.
    """
    asked = asked or {}
    if isinstance(of, str):
        return of
    if isinstance(of, bool):
        return "yes" if of else "no"
    if of is None:
        return "\N{EM DASH}"
    low, middle, high = (x * 100 if asked.get("percent") else x for x in limits(of))
    per_cent = asked.keys() & {"percent", "%"}
    unit = f"{NARROW}%" if per_cent else TIMES if "over" in asked else ""
    largest = max(abs(low), abs(middle), abs(high))
    exact = high - low <= 1e-4 * largest or asked.get("mean")
    if exact and isinstance(of, int):
        return plain(of, 0) + unit
    power = int(f"{largest:.3e}".partition("e")[2])
    scaled = power < -4 or power > 6
    factor = 10.0**-power if scaled else 1.0
    low, middle, high = low * factor, middle * factor, high * factor
    if exact:
        rounded = f"{middle:.{asked.get('digits', 4)}g}"
        places = len(rounded.partition(".")[2]) if "e" not in rounded else 0
        text = plain(float(rounded), places)
    else:
        text = with_interval(low, middle, high, asked.get("digits", 2), bool(unit or scaled))
    tenth = f"{NARROW}{TIMES}{NARROW}10{str(power).translate(RAISED)}" if scaled else ""
    return text + tenth + unit


def with_interval(low, middle, high, digits, bracketed):
    places = decimals((high - low) / 2, digits)
    if math.isclose(high - middle, middle - low, rel_tol=1e-6):
        text = f"{plain(middle, places)}\u00a0±\u00a0{plain((high - low) / 2, places)}"
        return f"({text})" if bracketed else text
    return f"{plain(middle, places)} [{plain(low, places)}, {plain(high, places)}]"


def origin(name, result):
    """Return the seeds, the date, the processor of a result, and the command that repeats it."""
    count = len(result["settings"]["seeds"])
    seeds = f"{count} seeds" if count > 1 else "one seed" if count else "nothing random"
    only = name.removesuffix(".full")
    command = f"make measure ONLY={only}" + (" FULL=1" if only != name else "")
    if only not in import_module("experiments.measure").experiments():
        command = "make bench"
    return f"{seeds}, {result['date']}, {result['processor']}", command


# --- in the page ---------------------------------------------------------------------------------


class Reader:
    """What the role and the directives share: a result, its dependencies, its staleness."""

    def result(self, name):
        found = load(name)
        for path in files(name):
            self.env.note_dependency(str(path))
        told = self.env.temp_data.setdefault("stale results", set())  # once a page
        if name not in told and found["code"] != current_code(name):
            told.add(name)
            logger.warning(
                "the result %s is of other code than experiments/%s.py now: %s",
                name, name, origin(name, found)[1],
                location=self.get_location(), type="results",
            )  # fmt: skip
        return found


class Measured(Reader, SphinxRole):
    def run(self):
        try:
            return [self.number()], []
        except Unknown as error:
            message = self.inliner.reporter.error(f"measured: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]

    def number(self):
        fields = [field.strip() for field in self.text.split("|")]
        if len(fields) not in (3, 4):
            raise Unknown("write experiment | key=value; key=value | column, and perhaps | options")
        name, where, column, *more = fields
        asked = options(*more) if more else {}
        found, wanted = self.result(name), conditions(where)
        of = value(one(found["rows"], wanted), column)
        if "over" in asked:
            of = ratio(of, value(one(found["rows"], wanted | asked["over"]), column))
        check(of, asked) if asked.keys() & {"above", "below", "around"} else None
        said, command = origin(name, found)
        told = f"{name}: {said}; {command}"
        shown = say(of, asked)
        return nodes.abbreviation(
            self.rawtext, shown, explanation=told, classes=["measured"], experiment=name
        )


class Block(Reader, SphinxDirective):
    """A table or a figure: its caption ends with where it comes from."""

    required_arguments = 1

    def run(self):
        try:
            return self.block(self.arguments[0])
        except Unknown as error:
            raise self.error(f"{self.name}: {error}") from error

    def below(self, name, result):
        """Return the caption's nodes."""
        said, command = origin(name, result)
        nodes_of, messages = self.parse_inline(self.options.get("caption", ""))
        source = nodes.inline("", f"{said[0].upper()}{said[1:]}; ", classes=["origin"])
        source += [nodes.literal(command, command), nodes.Text(" repeats it.")]
        return [*nodes_of, nodes.Text(" "), source, *messages]


class MeasuredTable(Block):
    has_content = True
    option_spec = {
        "where": directives.unchanged,
        "caption": directives.unchanged_required,
        "name": directives.unchanged,
    }

    def block(self, name):
        result = self.result(name)
        rows = choose(result["rows"], conditions(self.options.get("where", "")))
        columns = [[f.strip() for f in line.split("|")] for line in self.content if line.strip()]
        if not columns or any(len(column) not in (2, 3) for column in columns):
            raise Unknown("give a line `column | heading` or `column | heading | options` for each")
        cells = [[self.cell(row, *column) for column in columns] for row in rows]
        title = nodes.title("", "", *self.below(name, result))
        table = nodes.table("", title, classes=["measured"], experiment=name)
        table += grid([column[1] for column in columns], cells)
        self.add_name(table)
        return [table]

    def cell(self, row, column, heading, text=""):
        asked = options(text)
        of = value(row, column)
        check(of, asked) if asked.keys() & {"above", "below", "around"} else None
        return say(of, asked)


def grid(headings, cells):
    """Return the body of a table of text."""

    def line(texts):
        return nodes.row(
            "", *(nodes.entry("", nodes.paragraph("", nodes.Text(text))) for text in texts)
        )

    group = nodes.tgroup("", cols=len(headings))
    group += [nodes.colspec("", colwidth=1) for _ in headings]
    group += nodes.thead("", line(headings))
    group += nodes.tbody("", *map(line, cells))
    return group


class MeasuredFigure(Block):
    option_spec = {
        "alt": directives.unchanged_required,
        "caption": directives.unchanged_required,
        "name": directives.unchanged,
        "with": directives.unchanged,  # more arguments of picture: key=value; key=value
    }

    def block(self, name):
        for option in ("alt", "caption"):
            if option not in self.options:
                raise Unknown(f"a figure needs :{option}:")
        result = self.result(name)
        figure = nodes.figure("", classes=["measured"], experiment=name)
        figure += nodes.image("", uri=self.drawn(name, result["rows"]), alt=self.options["alt"])
        figure += nodes.caption("", "", *self.below(name, result))
        self.add_name(figure)
        return [figure]

    def drawn(self, name, rows):
        """Draw, beside the pages as read, and return the address for Sphinx to copy it from."""
        module = import_module(f"experiments.{name.removesuffix('.full')}")
        if not hasattr(module, "picture"):
            raise Unknown(f"experiments/{name}.py has no picture(rows)")
        self.env.note_dependency(import_module("optlib.figures").__file__)
        drawing = svg(module.picture(rows, **conditions(self.options.get("with", ""))))
        folder = Path(self.env.doctreedir) / "measured"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-{hashlib.sha256(drawing).hexdigest()[:12]}.svg"
        path.write_bytes(drawing)
        return "/" + os.path.relpath(path, self.env.srcdir).replace(os.sep, "/")


def svg(figure):
    """Return a figure as bytes that are the same in every build."""
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "measured"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def setup(app):
    app.add_role("measured", Measured())
    app.add_directive("measured-table", MeasuredTable)
    app.add_directive("measured-figure", MeasuredFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
