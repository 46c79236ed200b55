"""Laws that hold for every page, in its source and as built."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf8"))
PAGES = [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]


@pytest.mark.parametrize("name", PAGES)
def test_page_in_the_contents_exists_and_opens_with_its_title(name):
    text = (BOOK / f"{name}.md").read_text(encoding="utf8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)  # the header
    text = re.sub(r"^\(.*\)=\n", "", text.lstrip(), flags=re.M)  # the label
    assert text.lstrip().startswith("# ")
    outside = re.sub(r"^(`{3,}|:{3,}).*?^\1$", "", text, flags=re.S | re.M)
    assert len(re.findall(r"^# ", outside, flags=re.M)) == 1


def test_no_page_is_left_out_of_the_contents():
    names = {str(path.relative_to(BOOK).with_suffix("")) for path in BOOK.rglob("*.md")}
    assert {name for name in names if not name.startswith("_")} == {*PAGES}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_lists_its_verbs():
    out = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[1] for line in out.splitlines() if line.startswith("  make ")}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.M)[1].split()
    assert listed == {*phony} >= {"book", "serve", "test", "learn", "exercises", "fresh", "clean"}


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.without_alt = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img" and not (attributes.get("alt") or "").strip():
            self.without_alt.append(attributes.get("src"))


@pytest.mark.parametrize("name", PAGES)
def test_every_image_says_what_it_shows(book, name):
    images = Images()
    images.feed((book / f"{name}.html").read_text(encoding="utf8"))
    assert images.without_alt == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_the_builders_machine_is_published(book, name):
    text = (book / f"{name}.html").read_text(encoding="utf8")
    assert str(ROOT) not in text
    assert "fontawesome.js" not in text


def test_every_notebook_can_be_downloaded_from_its_page(book):
    for name in PAGES:
        if (BOOK / f"{name}.ipynb").exists():
            assert (book / "_sources" / f"{name}.ipynb").exists()
            text = (book / f"{name}.html").read_text(encoding="utf8")
            assert f"_sources/{name}.ipynb" in text
