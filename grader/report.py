"""What a teacher sees of a class: a page, the same in the terminal, and a table for the LMS."""

import csv
import datetime
import functools
import os
import platform
import re
import shutil
import statistics
import sys
import textwrap
import unicodedata
from collections import Counter
from importlib import metadata
from pathlib import Path

import jinja2
import sqlalchemy as sql
from markupsafe import Markup, escape
from tabulate import tabulate

from grader import likeness, tally
from grader.course import Course, CourseError, pieces
from grader.exercise import ROOT
from grader.gradebook import outcomes
from grader.judge_picture import picture

LIBRARIES = ("nbgrader", "nbformat", "numpy", "torch")
MOST = 60  # rows of a table that has no natural end
MOST_LINES = 40  # of an answer that is shown
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and their full-width forms
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def main(section, root=ROOT, db_url=None, out=None):
    """Print the report of a section, write the page and the table, and say where they are."""
    course = Course(root, db_url)
    try:
        about = gathered(course, section)
    except CourseError as error:
        print(f"{str(error)[0].upper()}{str(error)[1:]}.", file=sys.stderr)
        return 1
    folder = Path(out) if out else course.root / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    page, table = folder / f"{section}.html", folder / f"{section}.csv"
    page.write_text(html(about), encoding="utf-8")
    with open(table, "w", encoding="utf-8", newline="") as file:
        write_csv(about, file)
    print(terminal(about, shutil.get_terminal_size().columns))
    print(f"\nThe page: {os.path.relpath(page)}\nThe table for the LMS: {os.path.relpath(table)}")
    return 0


def gathered(course, section):
    """All that the report says, by the names that the page's template uses."""
    _there(course.db_url)
    told = outcomes(course.db_url, section)
    engine = sql.create_engine(course.db_url)
    try:
        book = tally.read_gradebook(engine, section)
    finally:
        engine.dispose()
    if not book.points:
        raise CourseError(f"the gradebook holds nothing of {section}: grade it first")
    handed_in, unusable = _handed_in(course, section)
    rows = tally.rows(book, told, handed_in)
    answers, times = _answers(course, section, [row.student for row in rows])
    shares, exercises = tally.shares(rows), tally.exercises(book, told)
    seconds = sorted(o["seconds"] for o in told if o.get("seconds"))
    return {
        "section": section,
        "written": _time(datetime.datetime.now().timestamp()),
        "pieces": sorted(book.points),
        "rows": rows,
        "states": tally.states(rows),
        "bins": tally.spread(rows),
        "shares": shares,
        "mean": statistics.fmean(shares) if shares else None,
        "median": statistics.median(shares) if shares else None,
        "late": sum(row.penalty > 0 for row in rows),
        "waiting": sum(f.waiting for functions in exercises.values() for f in functions.values()),
        "exercises": exercises,
        "findings": tally.findings(told, answers),
        "people": tally.people(rows),
        "unusable": [ascii(name) for name in unusable],
        "missing": tally.missing(rows),
        "stopped": tally.stopped(told),
        "rings": tally.rings(likeness.pairs(answers, section)),
        "jails": Counter(o.get("jail", "unknown") for o in told if o["state"] == "graded"),
        "seconds": (statistics.median(seconds), seconds[-1]) if seconds else None,
        "when": _span(times),
        "versions": _versions(),
    }


def _there(db_url):
    """Reading must not make an empty gradebook."""
    url = sql.make_url(db_url)
    path = url.database if url.get_backend_name() == "sqlite" else None
    if path and not Path(path).exists():
        raise CourseError(f"there is no gradebook {path}: grade the section first")


def _handed_in(course, section):
    try:
        usable, others = course.students(section)
    except CourseError:  # the folder has been put away: the gradebook knows who was there
        return set(), []
    return set(usable), others


def _answers(course, section, students):
    """piece -> student -> what they wrote; and when the notebooks were graded."""
    found, times = {}, []
    for piece in pieces(section):
        found[piece] = {}
        for student in students:
            path = course.autograded(student, section) / f"{piece}.ipynb"
            answers = likeness.read(path, section, piece)
            if answers:
                found[piece][student] = answers
                times.append(path.stat().st_mtime)
    return found, times


def _time(stamp):
    return datetime.datetime.fromtimestamp(stamp).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _span(times):
    if not times:
        return ""
    first, last = _time(min(times)), _time(max(times))
    return first if first == last else f"{first} to {last}"


def _versions():
    return [f"Python {platform.python_version()}"] + [
        f"{name} {metadata.version(name)}" for name in LIBRARIES
    ]


# Words of others


def printable(text):
    """A text without what could act on the page, the terminal or the reader's eye."""
    return "".join(
        c
        if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else "\ufffd"
        for c in text
    )


def one_line(text):
    return printable(" ".join(str(text).split()))


def number(value):
    """Marks as people write them: 3, 2.5."""
    return f"{round(value, 2):g}"


def counted(count, name):
    return f"{count} {name}" + ("" if count == 1 else "s")


def percent(share):
    return "-" if share is None else f"{100 * share:.0f} %"


# The page


@functools.cache
def _template():
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
    )
    made.filters |= {"code": _code, "cut": _cut}
    made.globals |= {"number": number, "percent": percent, "counted": counted, "most": MOST}
    return made.get_template("report.html")


def html(about):
    """The page, whole: it asks for nothing, and needs no script."""

    def drawn(finding):
        section = about["section"]
        return Markup(picture(section, finding.piece, f"{finding.function}_hidden", finding.name))

    return _template().render(about, picture=drawn)


def _code(sentence):
    """A sentence with its `names` in code type."""
    parts = printable(sentence).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts)
    )


def _cut(source):
    lines = source.splitlines()
    more = [f"... ({len(lines) - MOST_LINES} more lines)"] if len(lines) > MOST_LINES else []
    return "\n".join(line[:200] for line in lines[:MOST_LINES] + more)


# The terminal


def terminal(about, width=100):
    """The same as text, for a terminal of that width."""
    said = [counted(len(about["rows"]), "student"), counted(len(about["pieces"]), "notebook")]
    said += [f"{state} {count}" for state, count in about["states"].items()]
    parts = [
        textwrap.fill(f"{about['section']}: {', '.join(said)}", width),
        _scores(about),
        _people(about, width),
        _exercises(about, width),
        _mistakes(about, width),
        _stopped(about, width),
        _alike(about, width),
        textwrap.fill(_how(about), width),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(title, heads, rows, width, wraps):
    """`wraps` are the columns that share what the others leave."""
    if not rows:
        return f"{title}: none"
    rows = [[one_line(cell) for cell in row] for row in rows]
    columns = list(zip(heads, *rows))
    fixed = sum(max(map(len, c)) + 2 for i, c in enumerate(columns) if i not in wraps)
    room = max(14, (width - fixed) // len(wraps) - 2)
    limits = [room if i in wraps else None for i in range(len(heads))]
    table = tabulate(rows, heads, "simple", maxcolwidths=limits, disable_numparse=True)
    return f"{title}\n{table}"


def _who(names, most=4):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _scores(about):
    if not about["shares"]:
        return "Scores: nobody has a number yet"
    longest = max(about["bins"])
    lines = [
        f"{10 * i:3}-{10 * i + 10:3} %  {'#' * -(-40 * count // longest)} {count or ''}".rstrip()
        for i, count in enumerate(about["bins"])
    ]
    mean, median = percent(about["mean"]), percent(about["median"])
    said = [f"mean {mean}, median {median}"]
    if about["waiting"]:
        said.append(counted(about["waiting"], "written answer") + " still to be marked")
    if about["late"]:
        said.append(counted(about["late"], "student") + " lost marks by being late")
    title = f"Scores of {counted(len(about['shares']), 'student')}"
    return "\n".join([title, *lines, "; ".join(said)])


def _people(about, width):
    rows = [(s, reason, len(who), _who(who)) for (s, reason), who in about["people"].items()]
    if about["unusable"]:
        reason = "The folder's name cannot be an id in a gradebook."
        rows.append(("error", reason, len(about["unusable"]), _who(about["unusable"])))
    rows += [("missing", what, len(who), _who(who)) for what, who in about["missing"].items()]
    return _table("Who needs a person", ("state", "why", "n", "who"), rows, width, (1, 3))


def _exercises(about, width):
    rows = []
    for piece, functions in about["exercises"].items():
        for f in functions.values():
            rows.append((piece, _named(f), f"{f.whole} of {f.asked - f.waiting}", percent(f.share)))
            rows += [
                ("", f"- {a.name}", f"{a.whole} of {a.asked}", percent(a.share))
                for a in f.aspects.values()
            ]
    heads = ("notebook", "answer, and its aspects", "all of it", "marks")
    return _table("Exercises and aspects", heads, rows, width, (1,))


def _named(share):
    return share.name + (f" ({share.waiting} to be marked by hand)" if share.waiting else "")


def _mistakes(about, width):
    found = about["findings"]
    named = [
        (f"{f.function}: {f.name}", f.sentence, len(f.who), _who(f.who)) for f in found["mistake"]
    ]
    new = [
        (f.function, f.sentence, len(f.who), _who(f.who))
        for sort in ("new", "blank", "refused")
        for f in found[sort][:MOST]
    ]
    heads = "mistake", "what was said", "n", "who"
    return "\n\n".join(
        [
            _table("Mistakes by name", heads, named, width, (0, 1, 3)),
            _table("Other wrong answers, in nobody's catalogue", heads, new, width, (1, 3)),
        ]
    )


def _stopped(about, width):
    rows = [(what, len(who), _who(who)) for what, who in about["stopped"].items()]
    return _table("Stopped by the jail", ("what", "n", "who"), rows, width, (0, 2))


def _alike(about, width):
    rows = []
    for members, pairs in about["rings"][:MOST]:
        parts = [
            f"{p.piece}, {p.name} {percent(p.alike)} (others {percent(p.others)})"
            for p in pairs[0].parts
        ]
        rows.append((_who(members), "; ".join(parts)))
    title = "Answers that are alike (a hint for you; it changes no mark)"
    return _table(title, ("students", "alike in"), rows, width, (0, 1))


def _how(about):
    jails = [
        counted(count, "notebook")
        + (" WITHOUT A JAIL" if jail == "none" else f" in a jail ({jail})")
        for jail, count in about["jails"].items()
    ]
    said = [about["when"], *jails, ", ".join(about["versions"])]
    return "Graded: " + "; ".join(part for part in said if part)


# The table for the LMS


def write_csv(about, file):
    """A row per student. Where there is no mark yet the cell is empty, and never a zero."""
    names = "last_name", "first_name", "email", "lms_user_id"
    heads = ["student_id", *names, "score", "max_score", "raw_score", "late_submission_penalty"]
    heads += ["status", "reason"]
    for piece in about["pieces"]:
        heads += [piece, f"{piece} max", f"{piece} status"]
    write = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerow
    write(heads)
    for row in about["rows"]:
        cells = [row.student, *(row.names.get(name, "") for name in names)]
        cells += [row.total, row.points, row.raw, row.penalty, row.state, row.reason]
        for piece in about["pieces"]:
            mark = row.marks[piece]
            cells += [mark.score, mark.points, mark.state]
        write([cell(value) for value in cells])


def cell(value):
    """A number as it is; a text so that no spreadsheet takes it for a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return int(value) if value == int(value) else round(value, 4)
    text = one_line(value)
    odd = str(value)[:1] in ("\t", "\r", "\n") or text.startswith(FORMULA)
    return f"'{text}" if odd and not NUMBER.fullmatch(text) else text
