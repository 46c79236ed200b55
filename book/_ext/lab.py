"""The directive `{lab}`: optimizers race over a landscape in the page.

    ```{lab}
    :optimizers: sgd momentum adam
    :landscape: ravine
    :lr: sgd=0.036 momentum=0.01
    :caption: Three ways down the same ravine.
    ```

The scripts are loaded by pages that hold a lab only, by relative addresses. `rules.js` is printed
from the Python rules at every build; it is never committed.
"""

import importlib
import inspect
import json
import pkgutil
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

import optlib.schedules
from optlib.catalogue import CATALOGUE
from optlib.landscapes import LANDSCAPES
from optlib.printing.javascript import CannotPrint, function, layerwise, name_in_javascript, program

NO_SCRIPT = "This is a live experiment: it needs JavaScript, and asks nothing of any other machine."

# What a schedule's arguments mean in a race of T steps at the rate lr. Others keep their defaults.
SCHEDULED = {
    "lr": "lr",
    "lr_max": "lr",
    "T": "T",
    "total_steps": "T",
    "warmup_steps": "Math.round(T / 10)",
    "decay_steps": "Math.round(T / 5)",
    "every": "T / 4",
    "k": "4 / T",
    "T_0": "Math.round(T / 7)",
    "T_mult": "2",
}


def optimizers():
    """Rule and title of every optimizer of the catalogue that can run on a point of the plane."""
    found = {}
    for row in CATALOGUE:
        if row.optimizer is not None and can_print(row.rule):
            found[row.rule.__name__] = row.rule, row.optimizer.__name__
    return found


def can_print(rule):
    try:
        function(rule)
    except CannotPrint:
        return False
    return True


def schedules():
    """Every schedule of optlib that a race can set from its length and its rate alone."""
    found = {}
    for info in pkgutil.iter_modules(optlib.schedules.__path__, "optlib.schedules."):
        module = importlib.import_module(info.name)
        for name, f in inspect.getmembers(module, inspect.isfunction):
            if f.__module__ == info.name and is_scheduled(f):
                found[name] = f
    # "constant" is what a lab starts with, also while optlib does not state it.
    return dict(sorted(found.items(), key=lambda item: (item[0] != "constant", item[0])))


def is_scheduled(schedule):
    first, *rest = inspect.signature(schedule).parameters.values()
    needed = {p.name for p in rest if p.default is p.empty}
    rated = {"lr", "lr_max"} & needed
    return first.name == "t" and bool(rated) and needed <= set(SCHEDULED)


def schedule_in_javascript(schedule):
    parameters = list(inspect.signature(schedule).parameters.values())[1:]
    given = [SCHEDULED.get(p.name, "undefined") for p in parameters]
    return f"(t, T, lr) => {name_in_javascript(schedule)}({', '.join(['t', *given])})"


def rules_script():
    """The text of rules.js: printed functions, and what the lab must know to call them."""
    rules, plans = optimizers(), schedules()
    land = [f for each in LANDSCAPES.values() for f in (each.value, each.gradient)]
    printed = program([*(rule for rule, _ in rules.values()), *plans.values(), *land])
    return "\n".join(
        [
            "/* Printed from the Python of optlib when the book was built. Do not edit. */",
            '"use strict";',
            "const OPTLIB = (() => {",
            printed,
            "return {",
            object_of("rules", {name: describe_rule(*each) for name, each in rules.items()}),
            object_of("schedules", {name: describe_schedule(f) for name, f in plans.items()}),
            object_of("landscapes", {k: describe_landscape(v) for k, v in LANDSCAPES.items()}),
            "};",
            "})();",
            'if (typeof module === "object" && module.exports) module.exports = OPTLIB;',
            "",
        ]
    )


def object_of(name, entries):
    lines = [f"    {key}: {{{text}}}," for key, text in entries.items()]
    return "\n".join([f"  {name}: {{", *lines, "  },"])


def describe(code, **data):
    """The inside of a JavaScript object: `code` is JavaScript, `data` is JSON."""
    return ", ".join(
        [
            *(f"{key}: {text}" for key, text in code.items()),
            *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items()),
        ]
    )


def describe_rule(rule, title):
    arguments = inspect.signature(rule).parameters.values()
    remembered = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD][2:]
    return describe(
        {"rule": name_in_javascript(rule, layerwise(rule))},
        title=title,
        layerwise=layerwise(rule),
        clock="t" in remembered,
        state=[name for name in remembered if name != "t"],
    )


def describe_schedule(schedule):
    title = schedule.__name__.replace("_", " ").capitalize()
    return describe({"rate": schedule_in_javascript(schedule)}, title=title)


def describe_landscape(landscape):
    return describe(
        {
            "value": name_in_javascript(landscape.value),
            "gradient": name_in_javascript(landscape.gradient),
        },
        title=landscape.title,
        shows=landscape.shows,
        start=landscape.start,
        domain=landscape.domain,
        minimum=landscape.minimum,
        rates=landscape.rates,
    )


class LabNode(nodes.General, nodes.Element):
    """A lab in the document tree; its options are its attributes."""


def widget(options, caption=""):
    """The HTML of one lab: an empty body that lab.js fills, and a sentence where it cannot."""
    data = "".join(
        f" data-{key}" if value is True else f' data-{key}="{escape(str(value))}"'
        for key, value in options.items()
    )
    below = f'<p class="lab-caption">{escape(caption)}</p>' if caption else ""
    return (
        f'<div class="lab"{data}><div class="lab-body"></div>'
        f"<noscript><p>{escape(NO_SCRIPT)}</p></noscript>{below}</div>\n"
    )


def words_of(known):
    """An option's reader: words, every one of them known."""

    def read(argument):
        words = (argument or "").split()
        unknown = [word for word in words if word not in known()]
        if unknown or not words:
            raise ValueError(f"{unknown or 'nothing'}: give some of {' '.join(known())}")
        return words

    return read


def rates(argument):
    pairs = [pair.partition("=")[::2] for pair in argument.split()]
    for name, rate in pairs:
        if name not in optimizers() or not float(rate) > 0:
            raise ValueError(f"{name}={rate}: write optimizer=rate, the rate above 0")
    return argument


class LabDirective(SphinxDirective):
    """Options: which optimizers run, where, for how long, how fast, and what may be added."""

    option_spec = {
        "optimizers": words_of(optimizers),
        "landscape": lambda word: directives.choice(word, tuple(LANDSCAPES)),
        "lr": rates,
        "steps": directives.positive_int,
        "more": directives.flag,
        "schedules": directives.flag,
        "caption": directives.unchanged,
    }

    def run(self):
        given = self.options
        data = {
            "optimizers": " ".join(given.get("optimizers", ["sgd", "momentum", "adam"])),
            "landscape": given.get("landscape", "ravine"),
        }
        data |= {key: given[key] for key in ("lr", "steps") if key in given}
        data |= {key: True for key in ("more", "schedules") if key in given}
        node = LabNode(options=data, caption=given.get("caption", ""))
        self.set_source_info(node)
        return [node]


def visit_html(translator, node):
    translator.body.append(widget(node["options"], node["caption"]))
    raise nodes.SkipNode


def visit_other(translator, node):
    raise nodes.SkipNode


def load_scripts(app, pagename, templatename, context, doctree):
    """Only a page with a lab loads it. The files lie beside `_static`, where extra files go."""
    if doctree is not None and next(doctree.findall(LabNode), None) is not None:
        app.add_css_file("../lab/lab.css")
        app.add_js_file("../lab/rules.js", loading_method="defer")
        app.add_js_file("../lab/lab.js", loading_method="defer")


def write_rules(app):
    if app.builder.format == "html":
        folder = Path(app.outdir) / "lab"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.js").write_text(rules_script(), encoding="utf8")


def setup(app):
    other = (visit_other, None)
    app.add_node(
        LabNode, html=(visit_html, None), latex=other, text=other, man=other, texinfo=other
    )
    app.add_directive("lab", LabDirective)
    app.connect("builder-inited", write_rules)
    app.connect("html-page-context", load_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
