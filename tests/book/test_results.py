"""Measured numbers in pages: how they are printed, and that what is unknown or stale fails."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("book_results", ROOT / "book/_ext/results.py")
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)
THIN, SPACE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"


def seen(of, text=""):
    """What a reader sees, with plain spaces."""
    return results.say(of, results.options(text)).replace(THIN, " ").replace(SPACE, " ")


def around(mean, half):
    return {"mean": mean, "low": mean - half, "high": mean + half}


@pytest.mark.parametrize(
    "of, text, expected",
    [
        (around(58.75, 7.7321), "", "58.8 ± 7.7"),
        (around(-3.75, 4.3268), "", "−3.8 ± 4.3"),
        (around(0.90655, 0.005565), "percent", "(90.66 ± 0.56) %"),
        (around(3.11, 0.51), "%", "(3.11 ± 0.51) %"),
        (around(3.11, 0.51), "% mean", "3.11 %"),
        (around(1283.4, 212.0), "", "1280 ± 210"),
        (around(128340.0, 2120.0), "", "128 300 ± 2100"),
        (around(3.8139e-16, 5.188e-17), "", "(3.81 ± 0.52) × 10⁻¹⁶"),
        (around(0.0, 0.0), "", "0"),
        (around(0.8799592, 1e-7), "percent", "88 %"),
        (around(0.34812, 0.0821), "digits=1", "0.35 ± 0.08"),
        ({"median": 1.191, "low": 1.129, "high": 1.247}, "", "1.191 [1.129, 1.247]"),
        (691, "", "691"),
        (69078, "", "69 078"),
        (0.00526316, "", "0.005263"),
        (1.8638e-9, "", "1.864 × 10⁻⁹"),
        (around(9.999906e7, 890), "", "1 × 10⁸"),
        (4.3929e8, "", "4.393 × 10⁸"),
        (0.0063496, "digits=2", "0.0063"),
        (0.00031623, "digits=1", "0.0003"),
        (-0.3, "", "−0.3"),
        (True, "", "yes"),
        (None, "", "—"),
        ("cosine", "", "cosine"),
    ],
)
def test_numbers_are_rounded_to_what_is_known(of, text, expected):
    assert seen(of, text) == expected


ROWS = [
    {"task": "digits, mlp", "lr": 0.1, "ok": True, "steps": around(10.0, 1.0)},
    {"task": "digits, mlp", "lr": 0.2, "ok": True, "steps": around(20.0, 1.0), "deep": {"a": [7]}},
    {"task": "text", "lr": 0.2, "ok": False, "steps": None},
]


def chosen(text):
    return results.one(ROWS, results.conditions(text))


def test_a_filter_names_one_row():
    assert chosen("task=digits, mlp; lr=.1")["steps"]["mean"] == 10
    assert chosen("ok=false") is ROWS[2]
    assert len(results.choose(ROWS, {"task": "digits, mlp"})) == 2
    assert results.value(ROWS[1], "deep.a.0") == 7
    assert results.say(results.value(ROWS[1]["steps"], ".")) == f"20.0{SPACE}±{SPACE}1.0"


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: chosen("task=digits, mlp"), r"2 rows match .*they differ in \{'lr': \['0.1', '0"),
        (lambda: chosen("task=images"), r"no row matches .*'digits, mlp', 'text'"),
        (lambda: chosen("tusk=text"), r"no row has 'tusk'; there are lr, ok, steps, task"),
        (lambda: chosen("text"), "is no filter"),
        (lambda: results.value(ROWS[0], "stops"), r"no column 'stops'; .*'steps'"),
        (lambda: results.value(ROWS[1], "deep.a.1"), "no column 'deep.a.1'"),
        (lambda: results.load("gravity"), "no result 'gravity'; there are .*ravine"),
        (lambda: results.options("percents"), "'percents' is no option"),
        (lambda: results.options("above much"), "'much' is no number"),
        (lambda: results.limits(True), "is no number"),
        (lambda: results.ratio(around(1, 0.1), 2), "a ratio needs"),
    ],
)
def test_what_is_unknown_is_answered_with_what_is_known(call, complaint):
    with pytest.raises(results.Unknown, match=complaint):
        call()


def test_words_are_tied_to_numbers():
    of = around(1.0, 0.5)
    for text in ("above 0", "below 2", "around 1.2"):
        results.check(of, results.options(text))
    for text in ("above 0.6", "below 1.4", "around 0.4"):
        with pytest.raises(results.Unknown):
            results.check(of, results.options(text))


def test_a_ratio_is_taken_seed_by_seed():
    a, b = [2.0, 4.0, 6.0, 8.0, 10.2], [1.0, 2.0, 3.0, 4.0, 5.0]
    of = results.ratio({"values": a, **around(0, 0)}, {"values": b, **around(0, 0)})
    assert of["mean"] == pytest.approx(2.008) and of["low"] < 2.008 < of["high"] < 2.05
    assert results.ratio(691, 93) == 691 / 93
    assert results.say(691 / 93, {"over": {}}) == "7.43×"


PAGE = """# Page

Heavy ball takes {measured}`ravine | what=ravine; kappa=100; method=heavy ball | steps` steps.

```{measured-table} ravine
:where: what=ravine; kappa=100
:caption: At a condition number of 100.
method | method
steps | steps
```

```{measured-figure} ravine
:name: fig-ravine
:alt: Three rising lines.
:caption: Steps of *three* methods.
```

See {numref}`fig-ravine`.
"""
WRONG = """# Page

{measured}`gravity | what=ravine | steps`

{measured}`ravine | what=ravine | steps`

{measured}`ravine | what=ravine; kappa=100; method=nesterov | steps | above 1000`

```{measured-table} ravine
:where: what=river
steps | steps
```

```{measured-figure} protocol_of_nothing
:alt: Nothing.
:caption: Nothing.
```

:::{claim} C98 "a claim without a verdict"

Say
: Nothing.
:::

:::{claim} C99 "a claim without a measurement"
:verdict: wrong

Say
: Nothing.

Sources
: None.
:::
"""


class Small:
    """A book of one page beside the experiments."""

    def __init__(self, root):
        self.root = root
        book = [f"book/_{part}" for part in ("ext", "static", "tools")]
        for part in ("optlib", "experiments", *book, "book/images"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("_config.yml", "requirements.txt", "book/references.bib"):
            shutil.copy(ROOT / part, root / part)
        (root / "book/extra").mkdir()
        (root / "book/_toc.yml").write_text("format: jb-book\nroot: index\n")
        self.result = root / "experiments/results/ravine.json"

    def build(self, text=PAGE):
        page = self.root / "book/index.md"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
        run = subprocess.run(
            [sys.executable, "book/_tools/build.py"], cwd=self.root, capture_output=True, text=True
        )
        return run.returncode, re.sub(r"\x1b\[[\d;]*m", "", run.stdout + run.stderr)

    @property
    def page(self):
        html = (self.root / "_build/html/index.html").read_text(encoding="utf8")
        return html[html.index("<article") : html.index("</article")]


@pytest.fixture
def small(tmp_path):
    return Small(tmp_path)


def test_a_changed_result_changes_number_table_and_figure(small):
    code, said = small.build()
    assert code == 0, said
    text = re.sub(r"<[^>]+>", "", small.page)
    assert "Heavy ball takes 93 steps." in text
    assert "Nothing random" in text and "make measure ONLY=ravine repeats it." in text
    assert "See Fig. 1." in text
    assert re.search(r"<td><p>nesterov</p></td>\s*<td><p>155</p></td>", small.page)
    (first,) = re.findall(
        r'<img alt="Three rising lines."[^>]* src="(_images/[^"]+\.svg)"', small.page
    )

    result = json.loads(small.result.read_text())
    (row,) = (r for r in result["rows"] if r.get("kappa") == 100 and r["method"] == "heavy ball")
    row["steps"] = 94
    small.result.write_text(json.dumps(result))
    code, said = small.build()
    assert code == 0, said
    assert "Heavy ball takes 94 steps." in re.sub(r"<[^>]+>", "", small.page)
    assert "<p>94</p>" in small.page and first not in small.page


def test_what_is_wrong_fails_the_build_with_its_line(small):
    code, said = small.build(WRONG)
    assert code != 0
    for complaint in (
        r"index\.md:3: .*there is no result 'gravity'; there are ",
        r"index\.md:5: .*\d+ rows match .* they differ in ",
        r"index\.md:7: .*\[155, 155\] is not above 1000",
        r"index\.md:9: .*no row matches .*river",
        r"index\.md:14: .*there is no result 'protocol_of_nothing'",
        r"index\.md:19: .*C98: a claim needs a verdict, one of supported",
        r"index\.md:25: .*C99: a claim is a list of definitions: Say, Sources, Measured",
    ):
        assert re.search(complaint, said), complaint


def test_a_stale_result_fails_every_build(small):
    rule = small.root / "optlib/optimizers/momentum.py"
    rule.write_text(rule.read_text().replace("w = w - v", "w = w - 1.0 * v", 1))
    for _ in range(2):
        code, said = small.build()
        assert code != 0
        assert "ravine is of other code than experiments/ravine.py now: make measure" in said
