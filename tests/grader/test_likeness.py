"""Answers that are alike: copies are found, what a short exercise makes alike is not."""

import json
import random
import re

import pytest

from grader import likeness
from grader.exercise import ROOT, load
from grader.likeness import COMMENTS, OWN, Answers, tokens, words

SECTION, PIECE = "optimizers", "adam"
VARIANTS = [
    path.read_text()
    for path in sorted(
        (ROOT / "tests/exercises/right_answers/optimizers/adam").glob("adam_step__*")
    )
]
WORDS = (
    "step slope batch noise valley weight rate mean root bias zero start first long short rows "
    "learn low high stays falls grows memory speed sign wall floor ball hill square small"
)
COPIED = """def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    # both means at once, in a table of two rows
    table = np.stack([m, v])
    news = np.stack([g, np.square(g)])
    keep = np.reshape(betas, (2,) + (1,) * np.ndim(g))
    table = keep * table + (1 - keep) * news
    # the start at zero is taken out
    clean = table / (1 - keep**t)
    way = clean[0] / (np.sqrt(clean[1]) + eps)
    return w - lr * way, table[0], table[1]"""
RENAMED = """def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    '''My own.'''
    both = np.stack([m, v])   # the start at zero is taken out
    fresh = np.stack(
        [g, np.square(g)]
    )
    share = np.reshape(betas, (2,)+(1,)*np.ndim(g))

    both = share*both + (1 - share)*fresh
    fixed = both/(1 - share**t)
    step = fixed[0] / (np.sqrt(fixed[1]) + eps)  # both means at once, in a table of two rows
    return w - lr*step, both[0], both[1]"""


def prose(seed, count=40):
    return " ".join(random.Random(seed).choices(WORDS.split(), k=count))


def graded(code=None, why="", own=(), notes=()):
    """A notebook as it lies in autograded/."""
    notebook = json.loads((ROOT / "exercises" / SECTION / f"{PIECE}.ipynb").read_text())
    for cell in notebook["cells"]:
        if cell["id"] == "adam_step" and code is not None:
            cell["source"] = code
        elif cell["id"] == "why" and why:
            cell["source"] = why
    made = [("code", source) for source in own] + [("markdown", source) for source in notes]
    notebook["cells"] += [
        {"cell_type": kind, "id": f"own-{n}", "metadata": {}, "source": source}
        for n, (kind, source) in enumerate(made)
    ]
    summary = {"cell_type": "markdown", "id": "what-was-found", "metadata": {}, "source": prose(7)}
    notebook["cells"].insert(0, summary)
    return notebook


def suspicious(tmp_path, notebooks):
    """The pairs that are found among some notebooks, as names."""
    found = {}
    for student, notebook in notebooks.items():
        path = tmp_path / f"{student}.ipynb"
        path.write_text(json.dumps(notebook))
        found[student] = likeness.read(path, SECTION, PIECE)
    return likeness.pairs({PIECE: found}, SECTION)


def names(pairs):
    return [(pair.one, pair.other) for pair in pairs]


def a_class(count=30):
    """Students who work by themselves: half of them as the book, the others as they like."""
    exercise = load(SECTION, PIECE)
    wrong = [m.source for m in exercise.mistakes if m.function == "adam_step"]
    right = exercise.solves["adam_step"]
    theirs = {}
    for n in range(count):
        code = VARIANTS[n] if n < len(VARIANTS) else (right if n % 2 else wrong[n % len(wrong)])
        mine = re.sub(r"\bm_hat\b", f"m{n}", code)
        theirs[f"s{n:02}"] = graded(mine, prose(n))
    return theirs


def test_honest_students_are_not_suspicious(tmp_path):
    assert len(VARIANTS) >= 5
    assert suspicious(tmp_path, a_class()) == []


def test_the_right_answers_of_the_book_are_not_suspicious_among_themselves(tmp_path):
    assert suspicious(tmp_path, {f"s{n}": graded(code) for n, code in enumerate(VARIANTS)}) == []


def test_a_copy_with_other_names_comments_and_formatting_is_found(tmp_path):
    theirs = a_class() | {"x": graded(COPIED, prose("x")), "y": graded(RENAMED, prose("y"))}
    (pair,) = suspicious(tmp_path, theirs)
    assert (pair.one, pair.other) == ("x", "y")
    part = next(p for p in pair.parts if p.name == "adam_step")
    assert part.alike == 1.0 > 0.9 > part.others


def test_comments_that_were_moved_about_are_still_the_same_comments(tmp_path):
    theirs = a_class() | {"x": graded(COPIED, prose("x")), "y": graded(RENAMED, prose("y"))}
    (pair,) = suspicious(tmp_path, theirs)
    part = next(p for p in pair.parts if p.name == COMMENTS)
    assert part.alike == 1.0


def test_a_copied_answer_of_the_book_is_no_evidence(tmp_path):
    right = load(SECTION, PIECE).solves["adam_step"]
    theirs = {f"s{n}": graded(code, prose(n)) for n, code in enumerate(VARIANTS)}
    assert suspicious(tmp_path, theirs | {n: graded(right, prose(n)) for n in "xy"}) == []


def test_the_same_known_mistake_is_no_evidence(tmp_path):
    wrong = next(m.source for m in load(SECTION, PIECE).mistakes if m.name == "clipped_step")
    theirs = a_class() | {n: graded(wrong, prose(n)) for n in "xy"}
    assert suspicious(tmp_path, theirs) == []


def test_what_many_have_is_no_evidence(tmp_path):
    many = {f"m{n:02}": graded(COPIED, prose(f"m{n}")) for n in range(12)}
    assert suspicious(tmp_path, a_class() | many) == []


def test_nothing_written_is_no_evidence(tmp_path):
    empty = {n: graded() for n in "xyz"} | {"u": graded(""), "v": graded("")}
    empty |= {n: graded("def adam_step(*_):\n    return None", prose(n)) for n in "pq"}
    assert suspicious(tmp_path, a_class() | empty) == []


def test_a_copied_written_answer_is_found(tmp_path):
    right = load(SECTION, PIECE).solves["adam_step"]
    text = prose("copied", 45)
    theirs = a_class() | {"x": graded(right, text), "y": graded(right, text.upper() + "!")}
    (pair,) = suspicious(tmp_path, theirs)
    assert (pair.one, pair.other, [p.name for p in pair.parts]) == ("x", "y", ["why"])


def test_copied_cells_of_ones_own_are_found(tmp_path):
    own = [
        "found = []\nfor rate in np.logspace(-4, 0, 9):\n    found.append(rate * 3)",
        "plt.loglog(np.logspace(-4, 0, 9), found)\nplt.title('which rate')",
    ]
    theirs = a_class() | {n: graded(None, prose(n), own, ["A try of mine."]) for n in "xy"}
    (pair,) = suspicious(tmp_path, theirs)
    assert (pair.one, pair.other, [p.name for p in pair.parts]) == ("x", "y", [OWN])


def test_three_who_share_are_three_pairs(tmp_path):
    theirs = a_class() | {n: graded(RENAMED, prose(n)) for n in "xyz"}
    assert names(suspicious(tmp_path, theirs)) == [("x", "y"), ("x", "z"), ("y", "z")]


def test_two_students_are_no_class(tmp_path):
    assert suspicious(tmp_path, {n: graded(COPIED, prose("same")) for n in "xy"}) == []


def test_the_order_of_students_does_not_matter(tmp_path):
    theirs = a_class() | {"x": graded(COPIED, prose("x")), "y": graded(RENAMED, prose("y"))}
    backwards = dict(reversed(theirs.items()))
    assert suspicious(tmp_path, theirs) == suspicious(tmp_path, backwards)


# What is compared


@pytest.mark.parametrize(
    "one, other",
    [
        ("def f(a):\n    b = a\n    return b", "def f(x):\n    y = x\n    return y"),
        ("x = 1  # one", "x   =   1"),
        ("def f():\n    'says'\n    return 1", "def f():\n    return 1"),
        ("import numpy as np\nnp.sqrt(2)", "import numpy as n\nn.sqrt(2)"),
        ("[a * a for a in b]", "[c * c for c in b]"),
    ],
)
def test_these_are_the_same(one, other):
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("def f(a, b):\n    return a - b", "def f(a, b):\n    return b - a"),
        ("x = 1", "x = 2"),
        ("np.sqrt(2)", "np.cbrt(2)"),
        ("a + b", "a - b"),
        ("print('a')", "print('b')"),
    ],
)
def test_these_are_not(one, other):
    assert tokens(one) != tokens(other)


@pytest.mark.parametrize(
    "odd",
    [
        "def f(:",
        "(" * 5000,
        "0x" + "f" * 9000,
        "-" * 9000 + "1",
        "x" * 20_000,
        "\0",
        "'''",
        "\ud800",
    ],
    ids=["syntax", "brackets", "huge-number", "minus", "name", "null", "open-string", "surrogate"],
)
def test_odd_code_is_no_trouble(odd):
    assert isinstance(tokens(odd), tuple)
    assert isinstance(likeness.comments_of(odd), list)
    assert isinstance(words(odd), tuple)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"cells": 3}', '{"cells": [{}]}', "[" * 100_000, '{"cells": [null]}']
)
def test_an_odd_file_holds_no_answers(tmp_path, text):
    (tmp_path / "adam.ipynb").write_text(text)
    assert likeness.read(tmp_path / "adam.ipynb", SECTION, PIECE) is None
    assert likeness.read(tmp_path / "none.ipynb", SECTION, PIECE) is None


def test_what_everybody_got_is_not_compared(tmp_path):
    path = tmp_path / "adam.ipynb"
    path.write_text(json.dumps(graded()))
    assert likeness.read(path, SECTION, PIECE) == Answers({}, {OWN: (), COMMENTS: ()})


def test_the_answers_themselves_are_kept(tmp_path):
    path = tmp_path / "adam.ipynb"
    path.write_text(json.dumps(graded(COPIED)))
    assert likeness.read(path, SECTION, PIECE).code == {"adam_step": COPIED}
