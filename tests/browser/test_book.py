"""Every page as a reader meets it: light, dark, on a phone, over http and from a file."""

import functools
import http.server
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

TOC = yaml.safe_load((Path(__file__).parents[2] / "book/_toc.yml").read_text(encoding="utf8"))
PAGES = [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1400, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1400, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
SEARCHES = ".search-button-field, .search-button, .bd-search input"
pytestmark = pytest.mark.browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(book):
    handler = functools.partial(Quiet, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(chromium):
    """Open a page and wait for its formulas; complaints are collected in `page.complaints`."""
    contexts = []

    def visit(url, look="light"):
        context = chromium.new_context(**LOOKS[look])
        contexts.append(context)
        page = context.new_page()
        page.complaints = said = []
        loud = ("error", "warning")
        page.on("console", lambda m: m.type in loud and said.append(m.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda r: said.append(f"failed: {r.url}"))
        page.on("response", lambda r: r.ok or said.append(f"{r.status}: {r.url}"))
        page.on("request", lambda r: abroad(r.url) and said.append(f"left home: {r.url}"))
        page.goto(url, wait_until="load")
        page.evaluate("window.MathJax?.startup?.promise")
        return page

    yield visit
    for context in contexts:
        context.close()


def abroad(url):
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"


def formulas(page):
    """How many formulas the page has, and those that were not set or set in red."""
    return page.evaluate("""() => {
        const all = [...document.querySelectorAll("article .math")];
        const bad = all.filter(m => !m.querySelector("mjx-container")
            || m.querySelector("mjx-merror, [data-mjx-error], mjx-mtext[style*=red]"));
        return [all.length, bad.map(m => m.textContent)];
    }""")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_page_is_quiet_whole_and_fits(visit, address, name, look):
    page = visit(f"{address}/{name}.html", look)
    assert page.evaluate("document.documentElement.dataset.theme") == look.replace("phone", "light")
    assert formulas(page)[1] == []
    wide, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= room
    assert page.locator(SEARCHES).filter(visible=True).count() == 1
    assert page.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_page_works_from_a_file(visit, book, name):
    page = visit((book / f"{name}.html").as_uri())
    assert formulas(page)[1] == []
    assert page.complaints == []


def test_the_formulas_are_looked_for_where_they_are(visit, address):
    assert formulas(visit(f"{address}/notation.html"))[0] > 10


def test_the_theme_can_be_switched(visit, address):
    page = visit(f"{address}/index.html", "dark")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2):  # auto, light, dark, in some order
        page.locator(".theme-switch-button").filter(visible=True).first.click()
        if page.evaluate("document.documentElement.dataset.theme") == "light":
            break
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert page.complaints == []


def test_the_search_finds_a_chapter(visit, address):
    page = visit(f"{address}/search.html?q=epsilon-hat")
    page.locator("#search-results a[href*='optimizers/adam']").first.wait_for(timeout=10_000)
    assert page.complaints == []
