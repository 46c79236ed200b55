"""Where a number comes from: a hash of just the code that it depends on, versions, machine."""

import ast
import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("optlib", "experiments")
# No number depends on these: the first is reached only by impl="compile", which no experiment here
# asks for, the second says where numbers come from.
ELSEWHERE = {"optlib.compiled", "experiments.provenance"}
PACKAGES = ("numpy", "torch", "scikit-learn")


def code_hash(name, root=ROOT):
    """Return a hash of `run` of the experiment `name` and of whatever it uses, however indirectly.

    It follows names, not files: `from optlib.optimizers.momentum import momentum` depends on that
    function and on what its lines name, not on its neighbours, nor on the experiment's `picture`;
    `corpus.split` depends on that function of the module `corpus`.
    Comments, docstrings, blank lines do not count; neither does the Python version.
    """
    digest = hashlib.sha256()
    for file, lines in sorted(dependencies(name, root).items()):
        digest.update(f"{file}\n".encode())
        digest.update("\n".join(lines[i] for i in sorted(lines)).encode())
    return digest.hexdigest()[:16]


def dependencies(name, root=ROOT):
    """Return file -> {line number: line}: the code that the experiment `name` depends on."""
    found, seen = {}, set()
    module = f"experiments.{name}"
    todo = [(module, "run" if "run" in _source(module, root).defined else None)]
    while todo:
        module, wanted = todo.pop()
        if (module, wanted) in seen:
            continue
        seen.add((module, wanted))
        source = _source(module, root)
        if source is None:
            continue
        for statement in source.needed(wanted):
            found.setdefault(source.file, {}).update(source.code(statement))
            todo += source.uses(statement)
    return found


def versions():
    """Return the versions that a number may depend on."""
    return {"python": platform.python_version()} | {p: version(p) for p in PACKAGES}


def processor():
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(s.split(":")[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class Source:
    """A file of ours: its statements by the names that they define, and what they use."""

    def __init__(self, path, root):
        self.root, self.file = root, path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        tree = ast.parse(self.text)
        self.dropped = {i for node in ast.walk(tree) for i in _docstring(node)}
        self.statements, self.defined, self.imported, self.loose = tree.body, {}, {}, []
        for statement in tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imported |= dict(_imports(statement))
            elif names := list(_names(statement)):
                for name in names:
                    self.defined.setdefault(name, []).append(statement)
            elif not _is_docstring(statement):
                self.loose.append(statement)  # runs whenever the file is imported

    def needed(self, name):
        """The statements that `name` stands for, or all of them; and those that always run."""
        if name is None:
            return [s for s in self.statements if not _is_docstring(s)]
        return self.defined.get(name, []) + self.loose + self._import_of(name)

    def _import_of(self, name):
        if name not in self.imported:
            return []
        imports = (s for s in self.statements if isinstance(s, ast.Import | ast.ImportFrom))
        return [s for s in imports if name in dict(_imports(s))]

    def uses(self, statement):
        """Yield (module, name) of ours that `statement` names; name None is the whole module."""
        here = self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        inside = {}
        attributes = {id(node.value): node.attr for node in ast.walk(statement)
                      if isinstance(node, ast.Attribute)}  # fmt: skip
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):  # at any depth
                inside |= dict(_imports(node))
        yield from self._targets(inside.values())
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id in self.defined:
                yield here, node.id
            elif isinstance(node, ast.Name) and node.id in self.imported:
                yield from self._targets([self.imported[node.id]], attributes.get(id(node)))

    def _targets(self, imported, attribute=None):
        for module, name in imported:
            inner = f"{module}.{name}"
            if module.split(".")[0] not in ROOMS or ELSEWHERE & {module, inner}:
                continue
            of = _source(inner, self.root) if name else None
            if of is None:
                yield module, name
            else:
                yield inner, attribute if attribute in of.defined else None

    def code(self, statement):
        """The statement's lines that count."""
        first = min(
            [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))]
        )
        numbers = set(range(first, statement.end_lineno + 1)) - self.dropped
        lines = {i: self.lines[i - 1].rstrip() for i in numbers}
        return {i: s for i, s in lines.items() if s and not s.lstrip().startswith("#")}


@cache
def _read(path, root, modified):
    return Source(path, root)


def _source(module, root):
    stem = root / module.replace(".", "/")
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return _read(path, root, path.stat().st_mtime_ns)
    return None


def _imports(node):
    """Yield (name here, (module, name there or None))."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, (node.module or "", alias.name)
        else:
            yield alias.asname or alias.name.split(".")[0], (alias.name, None)


def _names(statement):
    """Yield the names that a top-level statement defines, if it does nothing else."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [n for t in targets for n in ast.walk(t)]
        if all(isinstance(n, ast.Name | ast.Tuple | ast.expr_context) for n in names):
            yield from (n.id for n in names if isinstance(n, ast.Name))


def _is_docstring(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _docstring(node):
    body = getattr(node, "body", None)
    if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and _is_docstring(body[0]):
        return range(body[0].lineno, body[0].end_lineno + 1)
    return ()
