"""Answers that are more alike than a class makes them: a hint for the teacher, never a mark.

A short exercise has few right answers, so being alike says nothing by itself. What says something
is a pair that is much closer to one another than to the book's own answers, the known mistakes, and
all but a few of the class. Names, comments and formatting of code do not count; written answers and
comments are compared as words.
"""

import ast
import functools
import io
import json
import re
import tokenize
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from grader.exercise import ROOT, load

LONGEST, MOST = 20_000, 3000  # characters of a cell, and tokens of a part, that are looked at
ALIKE = 0.8  # of two parts that count
LEAST = 2.0  # tokens or words by which a pair is more alike than the crowd, for a part to count
ENOUGH = 22.0  # and for the pair, over all its parts
RING = 4  # others who may have the same answer and be suspicious still; or this share of a class:
RING_SHARE = 0.02
OWN, COMMENTS = "cells of one's own", "comments"
SUMMARY = "what-was-found"  # the cell that the grader put on top
PRINTED = {"YOUR ANSWER HERE", "BEGIN SOLUTION", "END SOLUTION"}


@dataclass(frozen=True)
class Part:
    """What two students have alike in one part of one notebook."""

    piece: str
    name: str
    alike: float  # the pair, from 0 to 1
    others: float  # the nearest that is not of their ring
    closer: float  # the difference, in tokens or words


@dataclass(frozen=True)
class Pair:
    one: str
    other: str
    closer: float
    parts: tuple


@dataclass(frozen=True)
class Answers:
    """What a student wrote in one notebook."""

    code: dict  # function -> source
    parts: dict  # name of a part -> its tokens or words


def pairs(answers, section):
    """Suspicious pairs, the most suspicious first, of `answers`: piece -> student -> Answers."""
    found = {}
    for piece, theirs in answers.items():
        students = sorted(theirs)
        if len(students) < 3:
            continue  # two are no crowd to compare with
        for name, known in _known(section, piece).items():
            texts = [theirs[student].parts.get(name, ()) for student in students]
            for i, j, *facts in _alike(texts, known):
                found.setdefault((students[i], students[j]), []).append(Part(piece, name, *facts))
    suspicious = [
        Pair(*students, sum(p.closer for p in parts), tuple(parts))
        for students, parts in found.items()
        if sum(p.closer for p in parts) >= ENOUGH
    ]
    return sorted(suspicious, key=lambda p: (-p.closer, p.one, p.other))


def _alike(texts, known):
    """Pairs of texts that are more alike than each is like the crowd."""
    alike, others = _similarities(texts, known)
    sizes = np.array([len(text) for text in texts])
    # How alike, beyond the crowd, times how long: two short answers say little.
    closer = np.minimum.outer(sizes, sizes) * (alike - np.maximum.outer(others, others))
    for i, j in np.argwhere(np.triu((closer >= LEAST) & (alike >= ALIKE), k=1)):
        yield i, j, float(alike[i, j]), float(max(others[i], others[j])), float(closer[i, j])


def _similarities(texts, known):
    """How alike any two are, from 0 to 1; and how alike each and the nearest of the crowd."""
    texts, known = _as_characters(texts, known)
    different = sorted(set(texts))
    place = [different.index(text) for text in texts]
    alike = cdist(different, different, scorer=Indel.normalized_similarity, dtype=np.float64)
    alike = alike[np.ix_(place, place)]
    ring = min(max(RING, round(RING_SHARE * len(texts))), len(texts) - 2)
    others = -np.sort(-alike, axis=1)[:, ring + 1]  # the first is oneself
    if known:
        book = cdist(different, known, scorer=Indel.normalized_similarity, dtype=np.float64).max(
            axis=1
        )
        others = np.maximum(others, book[place])
    return alike, others


def _as_characters(texts, known):
    """Each token as one character: what is compared is then counted in tokens."""
    letters = {}
    for text in (*texts, *known):
        for token in text:
            letters.setdefault(token, chr(0x10000 + len(letters)))
    spelt = [["".join(letters[t] for t in text) for text in group] for group in (texts, known)]
    return spelt[0], spelt[1]


# What is compared


def read(path, section, piece):
    """The Answers in a notebook as it lies in autograded/, or None."""
    try:
        cells = [
            (c["cell_type"], c.get("metadata", {}).get("nbgrader", {}), "".join(c["source"]))
            for c in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if c.get("id") != SUMMARY
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    shown = {source.strip() for _, source in _released(section, piece).values()}
    code, parts, own, comments = {}, {}, [], []
    for kind, about, source in cells:
        source = source[:LONGEST]
        if source.strip() in shown or ("grade_id" in about and not about.get("solution")):
            continue
        found = tokens(source) if kind == "code" else words(source)
        if "grade_id" not in about:
            own += found
        else:
            parts[about["grade_id"]] = found[:MOST]
        if kind == "code":
            comments += comments_of(source)
            code |= {about["grade_id"]: source} if "grade_id" in about else {}
    parts[OWN] = tuple(own[:MOST])
    # In an order of their own: moving a comment about does not hide it.
    parts[COMMENTS] = tuple(w for line in sorted(comments) for w in words(line))[:MOST]
    return Answers(code, parts)


@functools.cache
def _released(section, piece):
    """The cells that everybody got: id -> kind and source."""
    release = json.loads((ROOT / "exercises" / section / f"{piece}.ipynb").read_text("utf-8"))
    return {c["id"]: (c["cell_type"], "".join(c["source"])) for c in release["cells"]}


@functools.cache
def _known(section, piece):
    """Name of a part -> what of it everybody may have: as released, the book's, the mistakes."""
    exercise, release = load(section, piece), _released(section, piece)
    known = {OWN: (), COMMENTS: ()}
    for kind, about, source in exercise.cells:
        if "solve" in about:
            read = tokens if kind == "code" else words
            known[about["solve"]] = read(release[about["solve"]][1]), read(source)
    for mistake in exercise.mistakes:
        known[mistake.function] += (tokens(mistake.source),)
    return known


def words(text):
    """The words of a written text, without what sets them off."""
    return tuple(re.findall(r"\w+", text.lower()))


def comments_of(source):
    """What the comments of a cell say."""
    try:
        found = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError):
        return re.findall(r"#+(.*)", source)
    texts = [t.string.lstrip("# ") for t in found if t.type == tokenize.COMMENT]
    return [text for text in texts if text and text not in PRINTED]


@functools.lru_cache(maxsize=4096)
def tokens(source):
    """Code as the tokens of its syntax tree: names that it makes are numbered, the rest is kept."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return tuple(re.findall(r"\w+|[^\w\s]", re.sub(r"#.*", "", source)))
    made, out, waiting = _made(tree), [], [tree]
    numbers = {}
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.AST):
            out.append(_spelt(node, made, numbers))
            continue
        if isinstance(node, ast.expr_context) or _is_note(node):
            continue
        if not isinstance(node, ast.Name | ast.Expr):
            out.append(type(node).__name__)
        children = [value for _, value in ast.iter_fields(node)]
        flat = [v for c in children for v in (c if isinstance(c, list) else [c])]
        waiting += [v for v in reversed(flat) if v is not None]
    return tuple(out)


def _spelt(value, made, numbers):
    if value in made:
        return f"name {numbers.setdefault(value, len(numbers))}"
    return hex(value) if type(value) is int else repr(value)  # repr refuses very long integers


def _made(tree):
    """The names that a piece of code makes itself."""
    made = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.alias):
            made.add(node.asname or node.name)
    return made


def _is_note(node):
    """A docstring, or another string that stands for itself."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
