"""The directive `rule`: a rule of optlib as its equation and as its code, neither of them typed.

    ```{rule} optlib.optimizers.adam.adam
    :label: eq-adam
    ```

prints the equation that `optlib.printing.latex` reads off the function's own source, numbered and
referenceable as {eq}`eq-adam`, then the source itself without its docstring.
"""

import ast
import importlib
import inspect
import textwrap

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.directives.patches import MathDirective
from sphinx.util.docutils import SphinxDirective


def listing(function):
    """The source of `function` without its docstring, which the chapter says better."""
    source = textwrap.dedent(inspect.getsource(function))
    (definition,) = ast.parse(source).body
    if ast.get_docstring(definition) is None:
        return source
    lines, docstring = source.splitlines(), definition.body[0]
    return "\n".join(lines[: docstring.lineno - 1] + lines[docstring.end_lineno :])


def find(name):
    """The function called `name`, module and all; ValueError says what is missing."""
    module, _, attribute = name.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no rule {name!r}: {error}") from error
    if not inspect.isfunction(function):
        raise ValueError(f"{name!r} is not a function")
    return function


def used(function):
    """Files of our own that the equation and the listing are made from."""
    printer = importlib.import_module("optlib.printing.latex")
    ours = [function, printer.equation]
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if inspect.isfunction(value) and value.__module__.startswith("optlib."):
            ours.append(value)
    return {inspect.getsourcefile(each) for each in ours}


class Rule(SphinxDirective):
    required_arguments = 1
    option_spec = {"label": directives.unchanged_required}

    def run(self):
        name = self.arguments[0]
        try:
            function = find(name)
            latex = importlib.import_module("optlib.printing.latex").equation(function)
        except ValueError as error:
            raise self.error(f"rule: {error}") from error
        for file in used(function):
            self.env.note_dependency(file)

        code = nodes.literal_block("", listing(function), language="python")
        path = f"{function.__module__.replace('.', '/')}.py"
        caption = nodes.paragraph("", "", classes=["rule-caption"])
        caption += nodes.literal("", function.__name__)
        caption += [nodes.Text(", from "), nodes.literal("", path)]
        box = nodes.container("", *self.equation(latex), code, caption, classes=["rule"])
        self.set_source_info(code)
        return [box]

    def equation(self, latex):
        """The nodes of Sphinx's own math directive: numbers and {eq} work as everywhere."""
        label = {"label": self.options["label"]} if "label" in self.options else {}
        lines = latex.replace("\\\\\n", "\\\\[.45em]\n").splitlines()  # fractions want some air
        here = (self.lineno, self.content_offset, self.block_text, self.state, self.state_machine)
        return MathDirective("math", [], label, lines, *here).run()


def setup(app):
    app.add_directive("rule", Rule)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
