"""Every entry of the bibliography is cited, and every citation is in the bibliography."""

import re
from collections import Counter
from pathlib import Path

from optlib.catalogue import CATALOGUE

BOOK = Path(__file__).parents[2] / "book"
ENTRIES = (BOOK / "references.bib").read_text(encoding="utf8")
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]*)`")


def cited():
    """The keys that pages cite, and the papers that rows of the catalogue name."""
    found = {row.paper for row in CATALOGUE}
    for page in BOOK.rglob("*.md"):
        for keys in CITATION.findall(page.read_text(encoding="utf8")):
            found |= {key.strip() for key in keys.split(",")}
    return found


def test_entries_and_citations_are_the_same():
    keys = re.findall(r"^@\w+\{([^,]+),", ENTRIES, re.M)
    assert max(Counter(keys).values()) == 1
    assert {*keys} == cited()


def test_an_entry_is_one_line_with_author_title_and_year():
    for line in filter(None, ENTRIES.splitlines()):
        assert re.fullmatch(r"@\w+\{\w+, (?=.*\bauthor=)(?=.*\btitle=)(?=.*\byear=).*\}", line), (
            line
        )
        assert line.count("{") == line.count("}"), line
