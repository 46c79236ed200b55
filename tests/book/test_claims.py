"""The ledger: all claims, in order, with their verdicts, and no number of ours that was typed."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "book" / "claims.md").read_text(encoding="utf8")
CLAIM = re.compile(r'^:::\{claim\} (C\d\d) "([^\n]*)"\n(.*?)^:::$', re.M | re.S)
CLAIMS = CLAIM.findall(TEXT)
VERDICTS = "OOSOSOSSSUSOSO" + "SSSUSUSWUSSU" + "OSWSOUSOUSOOOS" + "SSOSOOOUOOSO"
WORDS = {"S": "supported", "O": "oversimplified", "U": "unsupported", "W": "wrong"}
TERMS = ["Say", "Sources", "Measured"]


def parts(content):
    """Return term -> text of its definition."""
    return dict(re.findall(r"^(\w+)\n: (.*?)(?=^\w+\n: |\Z)", content, flags=re.M | re.S))


def test_all_claims_are_there_in_the_lessons_order():
    assert [name for name, _, _ in CLAIMS] == [f"C{i:02}" for i in range(1, 53)]
    assert len(re.findall(r"\{claim\} C", TEXT)) == 52
    assert all(list(parts(content)) == TERMS for _, _, content in CLAIMS)


def test_the_verdicts_are_those_of_the_audit():
    found = [re.search(r"^:verdict: (\w+)$", content, re.M)[1] for _, _, content in CLAIMS]
    assert found == [WORDS[letter] for letter in VERDICTS]
    assert Counter(VERDICTS) == {"S": 23, "O": 19, "U": 8, "W": 2}


def test_quotations_are_short():
    assert all(len(quote) < 200 for _, quote, _ in CLAIMS)


# What may hold a digit without being a measurement: a role, the filter and the options of a table,
# a link, a formula with a letter in it, code, a quotation, a name such as ResNet-50 or L2.
ELSEWHERE = re.compile(
    r"\{[\w:]+\}`[^`]*`|^ *:(?:where|with): .*|digits=\d|\]\([^)]*\)"
    r"|\$[^$]*[A-Za-z\\][^$]*\$|`[^`]*`|\"[^\"]*\"|[A-Za-z]+[-'’]?\d+\b"
)
SOURCE = re.compile(r"\{cite(:\w)?\}`|\]\(http")


def typed(claim):
    """Yield the lines of a claim with a number that names no source; under Measured, any number."""
    for term, text in parts(claim).items():
        for line in text.splitlines():
            bare = ELSEWHERE.sub("", line)
            if re.search(r"\d", bare) and (term == "Measured" or not SOURCE.search(line)):
                yield line.strip()


@pytest.mark.parametrize("name, quote, content", CLAIMS, ids=[name for name, _, _ in CLAIMS])
def test_no_number_is_typed(name, quote, content):
    assert list(typed(content)) == []


HONEST = """Say
: See $\\beta=0.9$, ResNet-50.

Sources
: 16 % {cite:p}`a`.

Measured
: {measured}`a`
"""


@pytest.mark.parametrize(
    "old, new",
    [
        ("{measured}`a`", "2.3 points"),
        ("{measured}`a`", "$2.3$"),
        ("{measured}`a`", "16 % {cite:p}`a`"),
        ("16 % {cite:p}`a`", "16 %"),
        ("$\\beta=0.9$", "0.9"),
    ],
)
def test_a_typed_number_is_found(old, new):
    assert list(typed(HONEST)) == []
    assert len(list(typed(HONEST.replace(old, new)))) == 1


def test_what_was_not_read_is_marked_where_it_stands():
    marked = [line for line in TEXT.splitlines() if re.search(r"second-hand|from memory", line)]
    assert len(marked) > 25
    for key in ("kasimbeg2025accelerating", "hoffmann2022training", "li2019understanding",
                "nakkiran2021deep", "bengio2012practical", "smith2018dont"):  # fmt: skip
        cited = [line for line in TEXT.splitlines() if f"`{key}`" in line]
        assert cited and {*cited} <= {*marked}


def test_a_page_that_is_linked_exists():
    labels = {
        label
        for page in (ROOT / "book").rglob("*.md")
        for label in re.findall(r"^\((.*)\)=$", page.read_text(encoding="utf8"), re.M)
    }
    for _, _, content in CLAIMS:
        for words in re.findall(r"^:chapters: (.*)$", content, re.M):
            assert {*words.split()} <= labels
