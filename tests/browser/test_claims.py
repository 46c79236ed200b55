"""The ledger of claims as a reader uses it: search, filters, keyboard, phone, links, no script."""

import pytest

pytestmark = pytest.mark.browser
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1400, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1400, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
CONTRAST = """() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((x) => x / 255)
        .map((x) => (x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4))
        .reduce((sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const colour = rgb(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const of = (node) => {
        const [a, b] = [rgb(getComputedStyle(node).color), behind(node)].map(light);
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    };
    const text = ".claim-verdict, .claim summary, .claim-filter :is(label, output), .origin";
    return Math.min(...[...document.querySelectorAll(text)].map(of));
}"""


@pytest.fixture
def visit(chromium, book):
    """Open the page from its file; complaints are collected in `page.complaints`."""
    contexts = []

    def visit(fragment="", look="light", **more):
        context = chromium.new_context(**LOOKS[look], **more)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto((book / "claims.html").as_uri() + fragment, wait_until="load")
        return page

    yield visit
    for context in contexts:
        context.close()


def shown(page):
    return page.eval_on_selector_all(
        ".claim", "all => all.filter(c => c.offsetHeight).map(c => c.id)"
    )


def count(page):
    return page.locator(".claim-filter output").text_content()


def test_all_are_shown_at_first_and_closed(visit):
    page = visit()
    assert len(shown(page)) == 52 and count(page) == "52 of 52 claims"
    assert page.locator(".claim details[open]").count() == 0
    assert page.complaints == []


def test_the_verdicts_are_counted_on_the_page(visit):
    rows = visit().eval_on_selector_all(
        "table.claim-tally tbody tr",
        "all => all.map(r => [...r.cells].map(c => c.innerText.trim()))",
    )
    counts = {verdict: int(number) for verdict, _, number in rows}
    assert counts == {"supported": 23, "oversimplified": 19, "unsupported": 8, "wrong": 2, "": 52}


def test_search_takes_words_in_any_order_and_names(visit):
    page = visit()
    search = page.get_by_role("searchbox", name="Search", exact=True)
    search.fill("lasso L1")
    assert "C31" in shown(page) and len(shown(page)) < 10
    assert count(page) == f"{len(shown(page))} of 52 claims"
    search.fill("no such words anywhere")
    assert shown(page) == [] and count(page) == "0 of 52 claims"
    assert not page.locator("#optimizers h2").is_visible()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('.claim-filter output').textContent[0] === '5'")
    assert len(shown(page)) == 52


def test_filters_combine(visit):
    page = visit()
    page.get_by_label("wrong").check()
    assert shown(page) == ["C22", "C29"]
    page.get_by_label("unsupported").check()
    assert shown(page) == ["C10", "C18", "C20", "C22", "C23", "C26", "C29", "C32", "C35", "C48"]
    page.get_by_label("Section").select_option("Regularization")
    assert shown(page) == ["C29", "C32", "C35"]
    page.get_by_label("measured here").check()
    numbers = page.locator(".claim:not([hidden])").filter(has=page.locator("abbr.measured")).count()
    assert numbers == len(shown(page)) > 0
    page.get_by_role("button", name="Open all shown").click()
    assert page.locator(".claim details[open]").count() == numbers


def test_the_keyboard_is_enough(visit):
    page = visit()
    page.get_by_role("searchbox", name="Search", exact=True).focus()
    page.keyboard.type("grandfather")
    assert shown(page) == ["C02"]
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.locator("#C02 details[open]").count() == 1


@pytest.mark.parametrize("look", LOOKS)
def test_an_address_opens_its_claim(visit, look):
    page = visit("#C10", look)
    details = page.locator("#C10 details")
    assert details.get_attribute("open") is not None
    top, height = page.evaluate(
        "[document.querySelector('#C10').getBoundingClientRect().top, innerHeight]"
    )
    assert 0 <= top < height / 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints == []


def test_a_link_to_a_claim_that_is_filtered_away_shows_it(visit):
    page = visit()
    page.get_by_label("wrong").check()
    page.evaluate("location.hash = '#C43'")
    page.locator("#C43 details[open]").wait_for()
    assert "C43" in shown(page)


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_small_can_be_read(visit, look):
    assert visit("#C29", look).evaluate(CONTRAST) >= 4.5


def test_controls_on_a_phone_are_large_enough_for_a_finger(visit):
    page = visit(look="phone")
    heights = page.eval_on_selector_all(
        ".claim-filter label, .claim-filter button", "all => all.map(c => c.offsetHeight)"
    )
    assert len(heights) == 9 and min(heights) >= 44


def test_without_a_script_all_is_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator(".claim").count() == 52
    assert page.locator(".claim-filter").count() == 0
    assert page.locator("#C31 .claim-say").is_visible()
    page.locator("#C31 summary").click()
    assert page.locator("#C31 abbr.measured").first.is_visible()


def test_another_page_has_no_filter(chromium, book):
    page = chromium.new_page()
    page.goto((book / "index.html").as_uri())
    assert page.locator(".claim-filter").count() == 0
    page.close()
