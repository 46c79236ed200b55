"""The directives of the ledger of claims.

    :::{claim} C31 "driving some weights to exactly zero"
    :verdict: oversimplified
    :chapters: sgd momentum

    Say
    : What holds.

    Sources
    : What they say.

    Measured
    : What we found.
    :::

A claim has an anchor, #C31; {ref}`C31` is a link to it. The quotation and what to say instead are
always in view; the rest is a `details` element, which needs no script. A claim that shows a result
counts as measured, and names the experiment. `{tally}` is a table of the verdicts, `{experiments}`
the list of the experiments: what each settles, when it ran, how to repeat it.
"""

import ast
import re
from collections import Counter
from importlib import import_module

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

results = import_module("results")  # the extension beside this one
VERDICTS = ("supported", "oversimplified", "unsupported", "wrong")
TERMS = ["Say", "Sources", "Measured"]


class claim(nodes.General, nodes.Element):  # docutils names the classes of nodes like tags
    """One claim."""


class details(nodes.General, nodes.Element):
    """What unfolds."""


class tally(nodes.General, nodes.Element):
    """Stands where the table of verdicts will be."""


def label(env, name, id, text):
    """Make {ref}`name` a link that reads `text`."""
    domain = env.get_domain("std")
    domain.anonlabels[name.lower()] = env.docname, id
    domain.labels[name.lower()] = env.docname, id, text


def to(env, target):
    """Return a link to a label."""
    return addnodes.pending_xref(
        "", nodes.inline("", target), refdomain="std", reftype="ref", reftarget=target.lower(),
        refexplicit=False, refwarn=True, refdoc=env.docname,
    )  # fmt: skip


class Claim(SphinxDirective):
    required_arguments = 2
    final_argument_whitespace = True
    has_content = True
    option_spec = {
        "verdict": lambda word: directives.choice(word, VERDICTS),
        "chapters": directives.unchanged,
    }

    def run(self):
        name, quote = self.arguments
        if "verdict" not in self.options:
            raise self.error(f"{name}: a claim needs a verdict, one of {', '.join(VERDICTS)}")
        said = self.definitions(name)
        shown = {n["experiment"] for part in said.values() for n in experiments_in(part)}
        node = claim(ids=[name], verdict=self.options["verdict"], measured=bool(shown))
        self.set_source_info(node)
        node += self.head(name, quote.strip('" '))
        node += nodes.container("", *said["Say"], classes=["claim-say"])
        folded = details(of=name)
        for term in TERMS[1:]:
            folded += [nodes.rubric("", term), *said[term]]
        folded += self.links(shown)
        node += folded
        label(self.env, name, name, name)
        return [node]

    def definitions(self, name):
        """Return term -> nodes of the definition list that the content is."""
        parsed = self.parse_content_to_nodes()
        listed = parsed[0] if parsed and isinstance(parsed[0], nodes.definition_list) else []
        found = {item[0].astext(): item[-1].children for item in listed}
        if len(parsed) != 1 or list(found) != TERMS:
            raise self.error(f"{name}: a claim is a list of definitions: {', '.join(TERMS)}")
        return found

    def head(self, name, quote):
        inlines, messages = self.parse_inline(quote)
        verdict = self.options["verdict"]
        line = nodes.paragraph("", "", classes=["claim-head"])
        line += [
            nodes.reference("", name, refid=name, internal=True, classes=["claim-name"]),
            nodes.Text(" "),
            nodes.inline("", "", *inlines, classes=["claim-quote"]),
            nodes.Text(" "),
            nodes.inline("", verdict, classes=["claim-verdict", verdict]),
        ]
        return [line, *messages]

    def links(self, shown):
        """Return a line that leads to the chapters, and to the experiments that are shown."""
        chapters = self.options.get("chapters", "").split()
        line = nodes.paragraph("", "", classes=["claim-links"])
        for title, targets in (
            ("Read on:", chapters),
            ("Experiments:", [f"experiment-{name}" for name in sorted(shown)]),
        ):
            if targets:
                line += nodes.inline("", title)
                line += [
                    each for target in targets for each in (nodes.Text(" "), to(self.env, target))
                ]
                line += nodes.Text(" ")
        return [line] if len(line) else []


def experiments_in(parts):
    return [
        n for part in parts for n in part.findall(nodes.Element) if n.get("experiment") is not None
    ]


class Tally(SphinxDirective):
    """A line `verdict | what it means` for each verdict; their claims are counted."""

    has_content = True

    def run(self):
        meanings = dict(line.split(" | ") for line in self.content if " | " in line)
        if list(meanings) != list(VERDICTS):
            raise self.error(f"tally: say what each means: {', '.join(VERDICTS)}")
        return [tally(meanings=meanings)]


def fill_tally(app, doctree):
    """Count the verdicts, once the whole page is read."""
    for place in list(doctree.findall(tally)):
        count = Counter(each["verdict"] for each in doctree.findall(claim))
        rows = [[v, meaning, str(count[v])] for v, meaning in place["meanings"].items()]
        rows.append(["", "all", str(count.total())])
        body = results.grid(["verdict", "what it means", "claims"], rows)
        place.replace_self(nodes.table("", body, classes=["claim-tally"]))


class Experiments(results.Reader, SphinxDirective):
    """What each experiment's file says that it settles, and where its numbers come from."""

    def run(self):
        listed = nodes.definition_list(classes=["experiments"])
        for name in import_module("experiments.measure").experiments():
            if results.files(name)[0].exists():
                listed += self.item(name)
        return [listed]

    def item(self, name):
        said, command = results.origin(name, self.result(name))
        result, code = results.files(name)
        id = f"experiment-{name}"
        label(self.env, id, id, name)
        purpose = ast.get_docstring(ast.parse(code.read_text(encoding="utf8")))
        source = nodes.paragraph("", f"{said}. ", classes=["origin"])
        source += [nodes.literal(command, command), nodes.Text(" repeats it. ")]
        source += [self.download(code, "code"), nodes.Text(", "), self.download(result, "result")]
        told = [nodes.paragraph("", "", *self.linked(text)) for text in purpose.split("\n\n")]
        item = nodes.definition_list_item("", nodes.term("", name, ids=[id]))
        item += nodes.definition("", *told, source)
        return item

    def linked(self, text):
        """Yield the text, with each C31 in it a link."""
        for word in re.split(r"(\bC\d\d\b)", text):
            yield to(self.env, word) if re.fullmatch(r"C\d\d", word) else nodes.Text(word)

    def download(self, path, text):
        target = f"/../{path.relative_to(results.root()).as_posix()}"  # from the book's folder
        return addnodes.download_reference("", "", nodes.Text(text), reftarget=target)


def visit_claim(translator, node):
    measured = " data-measured" if node["measured"] else ""
    translator.body.append(
        f'<div class="claim" id="{node["ids"][0]}" data-verdict="{node["verdict"]}"{measured}>\n'
    )


def depart_claim(translator, node):
    translator.body.append("</div>\n")


def visit_details(translator, node):
    which = f'<span class="visually-hidden"> of {node["of"]}</span>'  # 52 of them sound alike
    translator.body.append(f"<details><summary>Sources and measurements{which}</summary>\n")


def depart_details(translator, node):
    translator.body.append("</details>\n")


def as_it_is(translator, node):
    pass


def setup(app):
    plain = dict.fromkeys(("latex", "text", "man", "texinfo"), (as_it_is, as_it_is))
    app.add_node(claim, html=(visit_claim, depart_claim), **plain)
    app.add_node(details, html=(visit_details, depart_details), **plain)
    app.add_node(tally)
    app.add_directive("claim", Claim)
    app.add_directive("tally", Tally)
    app.add_directive("experiments", Experiments)
    app.connect("doctree-read", fill_tally)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
