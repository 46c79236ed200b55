"""Answers that import the answer: found in the source before anything runs, refused by name."""

import ast
import functools
import warnings
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager

# Libraries that hold an optimizer, a schedule or our own answers.
REFUSED = (
    "optlib", "grader", "solutions", "torch.optim", "torch.distributed.optim", "optax", "timm",
    "apex", "deepspeed", "torch_optimizer", "pytorch_optimizer", "bitsandbytes", "schedulefree",
    "lion_pytorch", "transformers.optimization", "keras.optimizers", "tensorflow.optimizers",
    "tensorflow.keras.optimizers", "jax.example_libraries.optimizers", "flax.optim",
    "mxnet.optimizer", "paddle.optimizer", "chainer.optimizers", "autograd.misc.optimizers",
)  # fmt: skip
# Known by these names even in a cell that does not import them: a notebook's cells share names.
# Any other name that was not imported is the student's own, whatever it is called.
SHARED = {"torch", "sys", "modules"}
# Ways round an import statement that leave the name in the source.
IMPORTERS = {"__import__", "import_module", "find_spec", "run_module", "run_path"}
RUNNERS = {"exec", "eval", "compile", "run_cell", "run_line_magic", "run_cell_magic", "system"}


@functools.lru_cache(maxsize=4000)  # most cells of a class are the exercise's own
def refused(source):
    """The first refused library that a cell's source imports or uses, as it is known; or None."""
    cell = _read(source)
    return cell and _used(cell, _aliases(cell.bindings))


@dataclass(frozen=True)
class Cell:
    """What matters of a cell that parses, in the order of `ast.walk`."""

    bindings: tuple  # imports and assignments
    uses: tuple  # whatever can name a library


@functools.lru_cache(maxsize=4000)
def _read(source):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are the student's
            nodes = list(ast.walk(_parsed(source)))
    except Exception:  # IPython reads a cell in the same way: what does not parse does not run
        return None
    uses = ast.Import | ast.ImportFrom | ast.Attribute | ast.Name | ast.Subscript | ast.Call
    bindings = ast.Import | ast.ImportFrom | ast.Assign
    return Cell(
        tuple(node for node in nodes if isinstance(node, bindings)),
        tuple(node for node in nodes if isinstance(node, uses)),
    )


def _used(cell, aliases):
    for node in cell.uses:
        try:
            names = list(_names(node, aliases))
        except RecursionError:  # a chain of a thousand dots
            continue
        for name in names:
            if library := _library(name):
                return library
    return None


def _parsed(source):
    source = TransformerManager().transform_cell(source)
    for _ in range(9):
        try:
            return ast.parse(source)
        except SystemError:  # before Python 3.11.8 it fails when another parse comes in between
            continue
    return ast.parse(source)


def _library(name):
    for library in REFUSED:
        if name == library or name.startswith(library + "."):
            return library
    # The kernels that torch's own optimizers call.
    return "torch.optim" if name.startswith(("torch._fused_", "torch._foreach_adam")) else None


def _aliases(bindings):
    """Local name -> dotted name, for imports and for plain assignments such as `t = torch`."""
    aliases = {}
    for node in bindings:
        if isinstance(node, ast.Import):
            for a in node.names:
                first = a.name.split(".")[0]
                aliases[a.asname or first] = a.name if a.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for a in node.names:
                aliases[a.asname or a.name] = f"{node.module}.{a.name}"
    for node in bindings:
        if not isinstance(node, ast.Assign) or not (source := _source(node, aliases)):
            continue
        if source.split(".")[0] in {v.split(".")[0] for v in aliases.values()}:
            aliases |= {t.id: source for t in node.targets if isinstance(t, ast.Name)}
    return aliases


def _source(assignment, aliases):
    try:
        return _dotted(assignment.value, aliases)
    except RecursionError:
        return None


def _dotted(node, aliases):
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id if node.id in SHARED else None)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, aliases)
        return f"{base}.{node.attr}" if base else None
    if isinstance(node, ast.Call):
        called, given = _called(node), [a.value for a in node.args if isinstance(a, ast.Constant)]
        if called == "getattr" and len(node.args) > 1 and given and isinstance(given[0], str):
            base = _dotted(node.args[0], aliases)
            return f"{base}.{given[0]}" if base else None
        if called in IMPORTERS and given and isinstance(given[0], str):
            return given[0]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        base = _dotted(node.value, aliases)
        if base in ("sys.modules", "modules") and isinstance(node.slice.value, str):
            return node.slice.value
        if base and base.endswith(".__dict__"):
            return f"{base.removesuffix('.__dict__')}.{node.slice.value}"
    return None


def _called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", None))


def _names(node, aliases):
    if isinstance(node, ast.Import):
        yield from (a.name for a in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{a.name}" for a in node.names)
    elif isinstance(node, ast.Attribute | ast.Name | ast.Subscript):
        # A bare name is a library only if it was imported as one.
        name = _dotted(node, aliases)
        if name and (not isinstance(node, ast.Name) or node.id in aliases):
            yield name
    elif isinstance(node, ast.Call):
        if name := _dotted(node, aliases):
            yield name
        if _called(node) in RUNNERS:
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            yield from filter(None, (refused(text) for text in texts if isinstance(text, str)))


def refused_in(cells):
    """(library, cell number from 1) of the first code cell that uses a refused library, or None.

    Cells share their names, so an alias made in one cell is followed in the others.
    """
    codes = [(n, c.source) for n, c in enumerate(cells, start=1) if c.cell_type == "code"]
    for number, source in codes:
        if library := refused(source):
            return library, number
    seen, bindings, aliases = [], [], {}
    for number, source in codes:
        if (cell := _read(source)) is None:
            continue
        seen.append(cell)
        bindings += cell.bindings
        before, aliases = aliases, _aliases(bindings)
        for other in [cell] if aliases == before else seen:  # a new name counts in all of them
            if library := _used(other, aliases):
                return library, number
    return None
