"""The lab in a browser: it computes Python's numbers, obeys mouse, keys and touch."""

import functools
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optlib.landscapes import LANDSCAPES
from optlib.schedules.cosine import cosine_annealing

BOOK = Path(__file__).parents[2] / "book"
FILES = BOOK / "extra" / "lab"
STEPS = 100


@functools.cache
def extension():
    spec = importlib.util.spec_from_file_location("lab_extension", BOOK / "_ext" / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page with a lab of everything, and nothing of the book around it."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("lab.js", "lab.css"):
        shutil.copy(FILES / name, folder)
    (folder / "rules.js").write_text(extension().rules_script(), encoding="utf8")
    options = {"optimizers": " ".join(extension().optimizers()), "landscape": "ravine"}
    widget = extension().widget(options | {"more": True, "schedules": True}, "A caption.")
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Lab</title>'
        '<link rel="stylesheet" href="lab.css"><script defer src="rules.js"></script>'
        f'<script defer src="lab.js"></script></head><body>{widget}</body></html>',
        encoding="utf8",
    )
    return folder


@pytest.fixture
def open_lab(chromium, folder):
    """Open the page; whatever it does in the test, it may neither complain nor leave the disk."""
    complaints, contexts = [], []

    def open_(address=None, **settings):
        context = chromium.new_context(**{"viewport": {"width": 900, "height": 800}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on(
            "request",
            lambda request: request.url.startswith("file:") or complaints.append(request.url),
        )
        page.goto((address or folder / "page.html").as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def rows(page):
    """What the page says of each optimizer: its rate, its loss and where it diverged."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".lab-row")].map(row =>
            [row.dataset.optimizer, {
                lr: Number(row.dataset.lr), loss: Number(row.dataset.loss),
                diverged: row.dataset.diverged, text: row.querySelector(".lab-loss").textContent,
            }]))"""
    )


def start(page):
    return tuple(
        map(float, page.evaluate("[...'xy'].map(k => document.querySelector('.lab').dataset[k])"))
    )


def pixels(page, canvas=".lab-land"):
    """Red, green, blue and opacity of every pixel, read from a copy: reading slows a canvas."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(
        """name => {
            const canvas = document.querySelector(name);
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const pen = copy.getContext("2d", {willReadFrequently: true});
            pen.drawImage(canvas, 0, 0);
            return [...pen.getImageData(0, 0, copy.width, copy.height).data];
        }""",
        canvas,
    )


def end_in_python(name, land, point, lr, schedule=None):
    rule, landscape = extension().optimizers()[name][0], LANDSCAPES[land]
    arguments = rule.__code__.co_varnames[: rule.__code__.co_argcount]
    w, state = np.array(point), [np.zeros(2) for name in arguments[2:] if name != "t"]
    for t in range(1, STEPS + 1):
        g = np.array(landscape.gradient(*w))
        rate = schedule(t - 1, STEPS, lr) if schedule else lr
        w, *state = rule(w, g, *state, *([t] if "t" in arguments else []), lr=rate)
    return w


def loss_in_python(name, land, *rest):
    return LANDSCAPES[land].value(*end_in_python(name, land, *rest))


def set_slider(page, name, value):
    slider = page.locator(f'[data-optimizer="{name}"] input')
    slider.evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})) }", value
    )


@pytest.mark.browser
@pytest.mark.parametrize("land", LANDSCAPES)
def test_the_page_shows_the_losses_that_python_computes(open_lab, land):
    page = open_lab()
    page.locator(".lab-menu select").first.select_option(land)
    shown = rows(page)
    assert set(shown) == set(extension().optimizers()) and len(shown) >= 8
    for name, row in shown.items():
        point = np.array(LANDSCAPES[land].start)
        expected = loss_in_python(name, land, point, row["lr"])
        # Beside a saddle a path magnifies rounding: as much as it does this change of the start.
        shaken = loss_in_python(name, land, point * (1 + 1e-13), row["lr"])
        rounding = abs(shaken - expected)
        assert row["loss"] == pytest.approx(expected, rel=1e-9, abs=rounding), name


@pytest.mark.browser
def test_a_schedule_is_the_schedule_of_python(open_lab):
    page = open_lab()
    page.locator(".lab-menu select").nth(1).select_option("cosine_annealing")
    for name in ("sgd", "adam"):
        row = rows(page)[name]
        point = LANDSCAPES["ravine"].start
        expected = loss_in_python(name, "ravine", point, row["lr"], cosine_annealing)
        assert row["loss"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.browser
def test_dragging_moves_the_start_and_the_paths(open_lab):
    page = open_lab()
    before, picture, began = rows(page), pixels(page), start(page)
    box = page.locator(".lab-start").bounding_box()
    page.mouse.move(box["x"] + 22, box["y"] + 22)
    page.mouse.down()
    page.mouse.move(box["x"] + 122, box["y"] + 62, steps=3)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])  # after the button is up nothing moves
    moved = start(page)
    assert moved[0] > began[0] + 0.5 and moved[1] < began[1] - 0.1
    row = rows(page)["adam"]
    assert row["loss"] != before["adam"]["loss"] and pixels(page) != picture
    assert row["loss"] == pytest.approx(
        loss_in_python("adam", "ravine", moved, row["lr"]), rel=1e-9
    )


@pytest.mark.browser
def test_arrow_keys_move_the_start(open_lab):
    page = open_lab()
    (x, y), before = start(page), rows(page)["sgd"]["loss"]
    page.locator(".lab-start").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert start(page) == pytest.approx((x + 0.08, y - 0.3))
    assert rows(page)["sgd"]["loss"] != before
    for _ in range(30):
        page.keyboard.press("Shift+ArrowLeft")
    assert start(page)[0] == LANDSCAPES["ravine"].domain[0][0]  # and no further than the edge


@pytest.mark.browser
def test_everything_is_reached_by_the_tab_key_with_a_visible_focus(open_lab):
    page = open_lab()
    wanted = page.locator(".lab :is(button, select, input)").count()
    seen = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("""() => {
            const here = document.activeElement;
            const all = [...document.querySelectorAll('.lab :is(button, select, input)')];
            return getComputedStyle(here).outlineStyle === 'solid' ? all.indexOf(here) : -1;
        }""")
        )
    assert seen == set(range(wanted))


@pytest.mark.browser
def test_the_slider_sets_the_rate_and_a_large_one_diverges(open_lab):
    page = open_lab()
    before = rows(page)["sgd"]
    set_slider(page, "sgd", -0.5)
    slow = rows(page)["sgd"]
    assert slow["lr"] == pytest.approx(before["lr"] / 10**0.5, rel=1e-2)
    point = LANDSCAPES["ravine"].start
    assert slow["loss"] == pytest.approx(
        loss_in_python("sgd", "ravine", point, slow["lr"]), rel=1e-9
    )
    set_slider(page, "sgd", 0.6)
    gone = rows(page)["sgd"]
    assert gone["text"] == f"diverged at step {gone['diverged']}" and 1 < int(gone["diverged"]) < 20
    page.locator(".lab-reset").click()
    assert rows(page)["sgd"] == before


@pytest.mark.browser
def test_a_checkbox_adds_and_removes_an_optimizer(open_lab):
    page = open_lab()
    page.locator('.lab-chip input[value="adam"]').uncheck()
    assert "adam" not in rows(page) and "sgd" in rows(page)
    page.locator('.lab-chip input[value="adam"]').check()
    assert list(rows(page)) == list(extension().optimizers())


@pytest.mark.browser
def test_the_race_plays_pauses_and_can_be_scrubbed(open_lab):
    page = open_lab()
    play = page.locator(".lab-play")
    play.click()
    assert play.inner_text() == "Pause"
    page.wait_for_function("document.querySelector('.lab').dataset.step >= 5")
    play.click()
    paused = page.locator(".lab-count").inner_text()
    assert play.inner_text() == "Play" and paused != "step 100"
    page.wait_for_timeout(150)
    assert page.locator(".lab-count").inner_text() == paused
    page.locator(".lab-transport input").fill("0")
    landscape = LANDSCAPES["ravine"]
    assert rows(page)["adam"]["loss"] == pytest.approx(landscape.value(*landscape.start))


@pytest.mark.browser
def test_a_frame_from_before_the_click_takes_no_step_back(open_lab):
    page = open_lab()
    page.evaluate("""() => {
        const next = requestAnimationFrame;
        window.requestAnimationFrame = f => next(time => f(time - 300));
    }""")
    page.locator(".lab-play").click()
    page.wait_for_function("document.querySelector('.lab').dataset.step >= 1")


@pytest.mark.browser
def test_who_wants_no_motion_steps_by_hand(open_lab):
    page = open_lab(reduced_motion="reduce")
    play = page.locator(".lab-play")
    assert play.inner_text() == "Ten steps"
    for expected in ("step 0", "step 10", "step 20"):
        play.click()
        assert page.locator(".lab-count").inner_text() == expected


@pytest.mark.browser
def test_losses_are_told_once_after_a_change(open_lab):
    page = open_lab()
    status = page.locator('.lab [role="status"]')
    assert status.inner_text() == ""  # nothing is said before the reader acts
    page.locator(".lab-start").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert status.text_content() == ""
    page.wait_for_function("document.querySelector('.lab [role=status]').textContent")
    assert status.text_content().startswith("Step 100. Losses: SGD ")


@pytest.mark.browser
def test_the_dark_theme_repaints_the_canvas(open_lab):
    page = open_lab()
    light, light_losses = pixels(page), pixels(page, ".lab-losses")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert pixels(page, ".lab-losses") != light_losses
    assert np.mean(light) > 200 > 130 > np.mean(pixels(page))  # opacity included


@pytest.mark.browser
def test_a_phone_has_no_sideways_scroll_and_large_targets(open_lab):
    page = open_lab(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    targets = page.locator(".lab :is(button, select, input[type=range], .lab-chip)")
    heights = targets.evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
    assert min(heights) >= 44


@pytest.mark.browser
def test_a_finger_moves_the_start(open_lab):
    page = open_lab(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    began, box = start(page), page.locator(".lab-land").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    tapped = start(page)
    assert tapped != began and tapped == pytest.approx((0, 0.75), abs=0.03)
    ring = page.locator(".lab-start").bounding_box()
    finger = page.context.new_cdp_session(page)
    x, y = ring["x"] + 22, ring["y"] + 22
    for kind, dx in (("touchStart", 0), ("touchMove", 40), ("touchMove", 80), ("touchEnd", None)):
        points = [] if dx is None else [{"x": x + dx, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_function(f"Number(document.querySelector('.lab').dataset.x) > {tapped[0] + 1}")


@pytest.mark.browser
def test_without_scripts_a_sentence_says_so(open_lab):
    page = open_lab(java_script_enabled=False)
    assert extension().NO_SCRIPT in page.locator("body").inner_text()


# -- what the page says to try is what happens


def loss_at_the_start(name, land, schedule=None):
    landscape = LANDSCAPES[land]
    return loss_in_python(name, land, landscape.start, landscape.rates[name], schedule)


def test_sgd_diverges_just_above_two_over_the_curvature():
    start = LANDSCAPES["ravine"].start
    assert loss_in_python("sgd", "ravine", start, 0.0395) < 10
    assert loss_in_python("sgd", "ravine", start, 0.041) > 1000
    assert loss_in_python("sgd", "ravine", start, 0.0036) > 2  # ten times slower: no progress


def test_turning_the_ravine_hurts_adam_alone():
    for name in ("sgd", "momentum"):
        flat, turned = (loss_at_the_start(name, land) for land in ("ravine", "tilted_ravine"))
        assert 0.5 < turned / flat < 2
    assert loss_at_the_start("adam", "tilted_ravine") > 100 * loss_at_the_start("adam", "ravine")


def test_adam_leaves_the_saddle_and_nobody_leaves_its_level():
    rates = LANDSCAPES["saddle"].rates
    assert len({rates[name] for name in ("sgd", "momentum", "adam")}) == 1
    assert loss_at_the_start("sgd", "saddle") > 0.2 > 1e-4 > loss_at_the_start("adam", "saddle")
    for name in rates:
        assert end_in_python(name, "saddle", (1.7, 0.0), rates[name])[1] == 0


def test_momentum_rolls_to_the_bottom_only_from_afar():
    start, rates = LANDSCAPES["washboard"].start, LANDSCAPES["washboard"].rates
    ends = {name: end_in_python(name, "washboard", start, rates[name])[0] for name in rates}
    assert ends["sgd"] < -2 and abs(ends["momentum"]) < 0.1
    assert end_in_python("momentum", "washboard", (-1.5, 1.1), rates["momentum"])[0] < -1


def test_lion_arrives_only_if_its_rate_falls_and_adam_by_itself():
    def losses(name, lr):
        start = LANDSCAPES["ravine"].start
        return [loss_in_python(name, "ravine", start, lr, s) for s in (None, cosine_annealing)]

    hopping, arrived = losses("lion", 0.16)
    assert arrived < hopping / 100
    by_itself, helped = losses("adam", LANDSCAPES["ravine"].rates["adam"])
    assert by_itself < helped


# -- the directive, in a small book of two pages

CONF = f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["lab"]
html_extra_path = [{str(BOOK / "extra")!r}]
html_theme = "basic"
"""
INDEX = """
Plain
=====

.. toctree::

   deep/raced
"""
RACED = """
Raced
=====

.. lab::
   :optimizers: sgd adam
   :landscape: saddle
   :lr: sgd=0.125 adam=0.25
   :steps: 40
   :caption: Two & a half <b>.
"""


def build(folder, raced=RACED):
    (folder / "deep").mkdir(parents=True)
    (folder / "conf.py").write_text(CONF)
    (folder / "index.rst").write_text(INDEX)
    (folder / "deep" / "raced.rst").write_text(raced)
    out = folder / "out"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", str(folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return out, done


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("sphinx")
    out, done = build(tmp_path_factory.mktemp("book") / "source")
    assert done.returncode == 0, done.stderr
    return out


def test_only_a_page_with_a_lab_loads_it(built):
    raced = (built / "deep" / "raced.html").read_text()
    assert "lab/lab.js" in raced and "lab/rules.js" in raced and "lab/lab.css" in raced
    assert "lab/lab" not in (built / "index.html").read_text()
    assert "Two &amp; a half &lt;b&gt;." in raced
    assert (built / "lab" / "rules.js").read_text() == extension().rules_script()


@pytest.mark.browser
def test_a_built_page_works_from_the_disk(open_lab, built):
    page = open_lab(built / "deep" / "raced.html")
    shown = rows(page)
    assert {name: row["lr"] for name, row in shown.items()} == {"sgd": 0.125, "adam": 0.25}
    assert page.locator(".lab-count").inner_text() == "step 40"
    assert page.evaluate("document.querySelector('.lab').dataset.land") == "saddle"


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("sgd adam\n   :landscape: saddle", "sgdd adam\n   :landscape: saddle"),
        (":landscape: saddle", ":landscape: moon"),
        ("sgd=0.125", "sgd=-1"),
    ],
)
def test_an_unknown_name_fails_the_build(tmp_path, wrong, words):
    pytest.importorskip("sphinx")
    assert wrong in RACED
    _, done = build(tmp_path / "source", RACED.replace(wrong, words))
    assert done.returncode != 0 and "raced.rst" in done.stderr


def test_the_generated_file_is_not_committed():
    assert not (FILES / "rules.js").exists()
