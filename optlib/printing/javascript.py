"""A rule as JavaScript: the same lines, so that the lab in the page races what the chapters state.

An element-wise rule becomes a function of plain numbers, which the lab calls once per coordinate. A
layer-wise rule (one that takes a norm) becomes a function of numbers and arrays, its operators
printed as calls: `py.add(w, v)`. What cannot be printed faithfully raises `CannotPrint`.
"""

import ast
import builtins
import inspect
import math
import textwrap
import types

import numpy

from optlib import backend
from optlib.legal import legal

# How tightly JavaScript binds; an operand that binds less tightly than its place is bracketed.
ATOM, POWER, TIMES, PLUS, COMPARE, AND, OR, CHOICE = 8, 7, 6, 5, 4, 3, 2, 1

OPERATORS = {
    ast.Add: ("+", PLUS, "add"),
    ast.Sub: ("-", PLUS, "sub"),
    ast.Mult: ("*", TIMES, "mul"),
    ast.Div: ("/", TIMES, "div"),
    ast.Pow: ("**", POWER, "pow"),  # JavaScript forbids -x ** 2: both operands become atoms
    ast.FloorDiv: (None, ATOM, "floordiv"),  # Math.floor(a / b) is not Python's a // b
    ast.Mod: (None, ATOM, "mod"),  # JavaScript's % takes the sign of the left side
    ast.BitAnd: ("&&", AND, "both"),  # of comparisons only
    ast.BitOr: ("||", OR, "either"),
}
COMPARISONS = {
    ast.Lt: ("<", "less"),
    ast.LtE: ("<=", "less_equal"),
    ast.Gt: (">", "greater"),
    ast.GtE: (">=", "greater_equal"),
    ast.Eq: ("==", "equal"),  # not ===: True == 1 in Python
    ast.NotEq: ("!=", "not_equal"),
}
# Python's name: JavaScript's name, the fewest and the most arguments.
FUNCTIONS = {
    "abs": ("Math.abs", 1, 1),
    "absolute": ("Math.abs", 1, 1),
    "fabs": ("Math.abs", 1, 1),
    "ceil": ("Math.ceil", 1, 1),
    "cos": ("Math.cos", 1, 1),
    "exp": ("Math.exp", 1, 1),
    "expm1": ("Math.expm1", 1, 1),
    "float": ("Number", 1, 1),
    "floor": ("Math.floor", 1, 1),
    "int": ("Math.trunc", 1, 1),
    "log": ("Math.log", 1, 1),
    "log1p": ("Math.log1p", 1, 1),
    "max": ("Math.max", 2, 99),
    "maximum": ("Math.max", 2, 2),
    "min": ("Math.min", 2, 99),
    "minimum": ("Math.min", 2, 2),
    "norm": ("py.norm", 1, 1),
    "range": ("py.range", 1, 3),
    "sign": ("Math.sign", 1, 1),
    "sin": ("Math.sin", 1, 1),
    "sqrt": ("Math.sqrt", 1, 1),
    "tan": ("Math.tan", 1, 1),
    "tanh": ("Math.tanh", 1, 1),
    "where": ("py.where", 3, 3),
}
KNOWN = {
    getattr(module, name): name
    for module in (builtins, math, numpy, backend)
    for name in FUNCTIONS
    if hasattr(module, name)
}
# Legal names in Python that mean something else in JavaScript.
TAKEN = set(
    """
    py Math Number Infinity NaN undefined arguments eval await break case catch class const
    continue debugger default delete do else enum export extends false finally for function if
    implements import in instanceof interface let new null package private protected public return
    static super switch this throw true try typeof var void while with yield
    """.split()  # noqa: SIM905
)

RUNTIME = """\
const py = {
  each(f, ...args) {  // f of numbers, on numbers and arrays alike
    const arrays = args.filter(Array.isArray);
    if (arrays.length === 0) return f(...args);
    const n = arrays[0].length;
    if (arrays.some(a => a.length !== n)) throw new Error("arrays of different lengths");
    return arrays[0].map((_, i) => py.each(f, ...args.map(a => Array.isArray(a) ? a[i] : a)));
  },
  floordiv: (a, b) => py.each((x, y) => {  // as CPython: from the exact remainder
    const quotient = (x - py.mod(x, y)) / y;
    const whole = Math.floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
  }, a, b),
  mod: (a, b) => py.each((x, y) => {
    const rest = x % y;
    return rest !== 0 && (rest < 0) !== (y < 0) ? rest + y : rest;
  }, a, b),
  add: (a, b) => py.each((x, y) => x + y, a, b),
  sub: (a, b) => py.each((x, y) => x - y, a, b),
  mul: (a, b) => py.each((x, y) => x * y, a, b),
  div: (a, b) => py.each((x, y) => x / y, a, b),
  pow: (a, b) => py.each((x, y) => x ** y, a, b),
  neg: a => py.each(x => -x, a),
  both: (a, b) => py.each((x, y) => x && y, a, b),
  either: (a, b) => py.each((x, y) => x || y, a, b),
  less: (a, b) => py.each((x, y) => x < y, a, b),
  less_equal: (a, b) => py.each((x, y) => x <= y, a, b),
  greater: (a, b) => py.each((x, y) => x > y, a, b),
  greater_equal: (a, b) => py.each((x, y) => x >= y, a, b),
  equal: (a, b) => py.each((x, y) => x == y, a, b),
  not_equal: (a, b) => py.each((x, y) => x != y, a, b),
  where: (c, a, b) => py.each((c, x, y) => c ? x : y, c, a, b),
  norm: a => Math.sqrt([a].flat(Infinity).reduce((sum, x) => sum + x * x, 0)),
  truth(a) {
    if (Array.isArray(a)) throw new Error("the truth of an array is ambiguous");
    return a;
  },
  required(name) { throw new Error("missing keyword argument " + name); },
  range(a, b, c = 1) {
    const [start, stop] = b === undefined ? [0, a] : [a, b], numbers = [];
    for (let i = start; c > 0 ? i < stop : i > stop; i += c) numbers.push(i);
    return numbers;
  },
};
"""


class CannotPrint(Exception):
    """The rule says something that has no faithful JavaScript here; names the file and the line."""


def function(rule, vectors=None):
    """Return `rule` as the text of one JavaScript function.

    `vectors` says whether operators act on arrays; by default, whether the rule is layer-wise.
    Functions that the rule calls are called by name: `program` prints them too.
    """
    return _Printer(rule, layerwise(rule) if vectors is None else vectors).text()


def program(rules):
    """Return the runtime and every function of `rules`, callees included, each once."""
    printed, origin = {}, {}
    queue = [(inspect.unwrap(rule), layerwise(rule)) for rule in rules]
    while queue:
        rule, vectors = queue.pop(0)
        name = name_in_javascript(rule, vectors)
        if origin.setdefault(name, rule) is not rule:
            raise CannotPrint(f"two functions are called {name}: {rule} and {origin[name]}")
        if name not in printed:
            printer = _Printer(rule, vectors)
            printed[name] = printer.text()
            queue += [(callee, vectors or layerwise(callee)) for callee in printer.callees]
    return "\n".join([RUNTIME, *printed.values()])


def layerwise(rule):
    """Does the rule, or a rule that it calls, look at a whole layer at once?"""
    return backend.norm in _called(rule, set())


def name_in_javascript(rule, vectors=None):
    """The function's name; an element-wise rule that a layer-wise one calls is printed apart."""
    both = vectors and not layerwise(rule)
    return _safe(rule.__name__) + ("_of_vectors" if both else "")


def _safe(name):
    return name + "_" if name in TAKEN else name


def _tree(rule):
    try:
        lines, first = inspect.getsourcelines(inspect.unwrap(rule))
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise CannotPrint(f"{rule!r}: no source to print") from error
    if not isinstance(tree, ast.FunctionDef):
        raise CannotPrint(f"{rule!r} is not a plain function")
    return ast.increment_lineno(tree, first - 1)


def _called(rule, seen):
    """Everything that the rule calls, and the functions it calls call in turn."""
    rule = inspect.unwrap(rule)
    if rule in seen or rule in KNOWN:
        return seen
    seen.add(rule)
    for node in ast.walk(_tree(rule)):
        if isinstance(node, ast.Call):
            try:
                callee = _outside(rule, node.func)
            except LookupError:
                continue
            if isinstance(callee, types.FunctionType):
                _called(callee, seen)
                seen.add(callee)
    return seen


def _outside(rule, node):
    """The value of a name, or of an attribute of a module, that the rule takes from outside."""
    if isinstance(node, ast.Attribute):
        module = _outside(rule, node.value)
        if isinstance(module, types.ModuleType):
            return getattr(module, node.attr)
    if isinstance(node, ast.Name):
        outside = inspect.getclosurevars(rule)
        for names in (outside.nonlocals, outside.globals, outside.builtins):
            if node.id in names:
                return names[node.id]
    raise LookupError(ast.unparse(node))


class _Printer:
    """Prints one function. Every `expression` returns its text and how tightly it binds."""

    def __init__(self, rule, vectors):
        self.rule, self.vectors, self.callees = inspect.unwrap(rule), vectors, []
        self.tree = _tree(rule)
        self.parameters = inspect.signature(rule).parameters
        self.assigned = {
            n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name) and not _is_read(n)
        }
        self.local = self.assigned | set(self.parameters)

    def refuse(self, node, why):
        place = f"{inspect.getsourcefile(self.rule)}:{getattr(node, 'lineno', self.tree.lineno)}"
        words = ast.unparse(node).splitlines()[0]
        raise CannotPrint(f"{place}: {self.rule.__name__}: {why}: {words}")

    def text(self):
        self.check_decorators()
        body = self.tree.body
        if ast.get_docstring(self.tree) is not None:
            body = body[1:]
        fresh = sorted(_safe(name) for name in self.assigned - set(self.parameters))
        lines = [f"let {', '.join(fresh)};"] if fresh else []
        lines += [line for node in body for line in self.statement(node)]
        head = f"function {name_in_javascript(self.rule, self.vectors)}({self.arguments()}) {{"
        return "\n".join([head, *("  " + line for line in lines), "}", ""])

    def check_decorators(self):
        """A decorator may change the function, except the one that only checks its arguments."""
        for node in self.tree.decorator_list:
            maker = node.func if isinstance(node, ast.Call) else node
            known = self.rule.__globals__.get(maker.id) if isinstance(maker, ast.Name) else None
            if known is not legal:
                self.refuse(node, "cannot print a decorated function")

    # -- the signature

    def arguments(self):
        positional, keyword = [], []
        for p in self.parameters.values():
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                self.refuse(self.tree, f"cannot print *{p.name}")
            only = p.kind is p.KEYWORD_ONLY
            if p.default is not p.empty:
                default = f" = {self.constant(p.default, self.tree)}"
            else:
                default = f' = py.required("{p.name}")' if only else ""
            (keyword if only else positional).append(_safe(p.name) + default)
        if keyword:
            positional.append("{" + ", ".join(keyword) + "} = {}")
        return ", ".join(positional)

    def constant(self, value, node):
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, int) and abs(value) <= 2**53:
            return str(value)
        if isinstance(value, float) and not math.isnan(value):
            return repr(float(value)).replace("inf", "Infinity")
        if isinstance(value, tuple):
            return f"[{', '.join(self.constant(v, node) for v in value)}]"
        self.refuse(node, f"cannot print the value {value!r}")

    # -- statements: each a list of lines

    def statement(self, node):
        printer = getattr(self, "statement_" + type(node).__name__, None)
        if printer is None:
            self.refuse(node, f"cannot print {type(node).__name__}")
        return printer(node)

    def block(self, nodes):
        return ["  " + line for node in nodes for line in self.statement(node)]

    def statement_Pass(self, node):
        return []

    def statement_Return(self, node):
        if node.value is None:
            self.refuse(node, "returns nothing")
        return [f"return {self.value(node.value)};"]

    def statement_Assign(self, node):
        if len(node.targets) != 1:
            self.refuse(node, "assigns twice")
        return [f"{self.target(node.targets[0])} = {self.value(node.value)};"]

    def statement_AnnAssign(self, node):
        if node.value is None:
            self.refuse(node, "declares without a value")
        return [f"{self.target(node.target)} = {self.value(node.value)};"]

    def statement_AugAssign(self, node):
        # On a NumPy array Python's += overwrites the caller's array: a rule must not do that.
        if self.vectors:
            self.refuse(node, "changes a value in place")
        if not isinstance(node.target, ast.Name):
            self.refuse(node, "cannot assign to this")
        old = ast.Name(node.target.id, ast.Load())
        new = ast.copy_location(ast.BinOp(old, node.op, node.value), node)
        return [f"{self.target(node.target)} = {self.value(ast.fix_missing_locations(new))};"]

    def statement_If(self, node):
        lines = [f"if ({self.test(node.test)}) {{", *self.block(node.body)]
        if node.orelse:
            lines += ["} else {", *self.block(node.orelse)]
        return [*lines, "}"]

    def statement_While(self, node):
        if node.orelse:
            self.refuse(node, "cannot print while ... else")
        return [f"while ({self.test(node.test)}) {{", *self.block(node.body), "}"]

    def statement_For(self, node):
        over = node.iter
        if node.orelse or not isinstance(node.target, ast.Name) or not isinstance(over, ast.Call):
            self.refuse(node, "only `for name in range(...)` can be printed")
        if self.called(over) is not range:
            self.refuse(node, "only `for name in range(...)` can be printed")
        head = f"for ({self.target(node.target)} of {self.value(over)}) {{"
        return [head, *self.block(node.body), "}"]

    def target(self, node):
        if isinstance(node, ast.Name):
            return _safe(node.id)
        if isinstance(node, ast.Tuple | ast.List):
            return f"[{', '.join(self.target(n) for n in node.elts)}]"
        self.refuse(node, "cannot assign to this")

    # -- expressions: each a text and how tightly it binds

    def value(self, node):
        return self.expression(node)[0]

    def operand(self, node, level):
        text, binds = self.expression(node)
        return text if binds >= level else f"({text})"

    def expression(self, node):
        printer = getattr(self, "expression_" + type(node).__name__, None)
        if printer is None:
            self.refuse(node, f"cannot print {type(node).__name__}")
        return printer(node)

    def expression_Constant(self, node):
        return self.constant(node.value, node), ATOM

    def expression_Tuple(self, node):
        return f"[{', '.join(self.value(n) for n in node.elts)}]", ATOM

    expression_List = expression_Tuple

    def expression_Name(self, node):
        if node.id in self.local:
            return _safe(node.id), ATOM
        return self.number_outside(node)

    def expression_Attribute(self, node):
        return self.number_outside(node)

    def number_outside(self, node):
        try:
            value = _outside(self.rule, node)
        except LookupError:
            self.refuse(node, "unknown name")
        if value is math.pi:
            return "Math.PI", ATOM
        text = self.constant(value, node)
        return (text, ATOM) if not text.startswith("-") else (f"({text})", ATOM)

    def expression_Subscript(self, node):
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(index, bool) or not isinstance(index, int):
            self.refuse(node, "only a constant index can be printed")
        return f"{self.operand(node.value, ATOM)}[{index}]", ATOM

    def expression_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            return f"!({self.test(node.operand)})", COMPARE
        if not isinstance(node.op, ast.USub):
            self.refuse(node, "cannot print this sign")
        if self.vectors and not isinstance(node.operand, ast.Constant):
            return f"py.neg({self.value(node.operand)})", ATOM
        return f"-{self.operand(node.operand, ATOM)}", TIMES

    def expression_BinOp(self, node):
        if type(node.op) not in OPERATORS:
            self.refuse(node, "cannot print this operator")
        sign, level, name = OPERATORS[type(node.op)]
        if name in ("both", "either") and not (_is_test(node.left) and _is_test(node.right)):
            self.refuse(node, "`&` and `|` are printed between comparisons only")
        if any(isinstance(n, ast.Tuple | ast.List) for n in (node.left, node.right)):
            self.refuse(node, "arithmetic of tuples")
        if self.vectors or sign is None:
            return f"py.{name}({self.value(node.left)}, {self.value(node.right)})", ATOM
        # Brackets on the right are kept even for +: floating point sums are not associative.
        first = ATOM if level is POWER else level
        return (
            f"{self.operand(node.left, first)} {sign} {self.operand(node.right, level + 1)}",
            level,
        )

    def expression_Compare(self, node):
        sides = [node.left, *node.comparators]
        pairs = [
            self.comparison(node, left, op, right)
            for left, op, right in zip(sides, node.ops, sides[1:])
        ]
        if len(pairs) == 1:
            return pairs[0]
        return " && ".join(self.truth(text) for text, _ in pairs), AND

    def comparison(self, node, left, op, right):
        nothing = isinstance(right, ast.Constant) and right.value is None
        if isinstance(op, ast.Is | ast.IsNot) and nothing:
            sign = "===" if isinstance(op, ast.Is) else "!=="
            return f"{self.operand(left, PLUS)} {sign} null", COMPARE
        if type(op) not in COMPARISONS or ast.Tuple in (type(left), type(right)):
            self.refuse(node, "cannot print this comparison")
        sign, name = COMPARISONS[type(op)]
        if self.vectors:
            return f"py.{name}({self.value(left)}, {self.value(right)})", ATOM
        return f"{self.operand(left, PLUS)} {sign} {self.operand(right, PLUS)}", COMPARE

    def expression_BoolOp(self, node):
        sign, level = ("&&", AND) if isinstance(node.op, ast.And) else ("||", OR)
        return f" {sign} ".join(f"({self.test(n)})" for n in node.values), level

    def expression_IfExp(self, node):
        chosen = f"{self.operand(node.body, OR)} : {self.operand(node.orelse, OR)}"
        return f"({self.test(node.test)}) ? {chosen}", CHOICE

    def test(self, node):
        """A condition. Numbers, tuples and NaN are true by other rules in JavaScript."""
        if not _is_test(node) and not self.is_flag(node):
            self.refuse(node, "a condition must be a comparison or a True/False argument")
        return self.truth(self.value(node))

    def truth(self, text):
        return f"py.truth({text})" if self.vectors else text

    def is_flag(self, node):
        known = isinstance(node, ast.Name) and node.id in self.parameters
        flag = known and isinstance(self.parameters[node.id].default, bool)
        return flag and node.id not in self.assigned

    # -- calls

    def called(self, node):
        if isinstance(node.func, ast.Name) and node.func.id in self.local:
            self.refuse(node, "cannot print a call of a local value")
        try:
            return _outside(self.rule, node.func)
        except (LookupError, AttributeError):
            self.refuse(node, "cannot print a call of this")

    def expression_Call(self, node):
        callee = self.called(node)
        if any(isinstance(a, ast.Starred) for a in node.args):
            self.refuse(node, "cannot print *arguments")
        if callee in KNOWN:
            return self.call_known(node, KNOWN[callee])
        if isinstance(callee, types.FunctionType):
            return self.call_rule(node, callee)
        self.refuse(node, "cannot print a call of this")

    def call_known(self, node, name):
        text, fewest, most = FUNCTIONS[name]
        if node.keywords or not fewest <= len(node.args) <= most:
            self.refuse(node, f"{name} takes {fewest} to {most} positional arguments here")
        if name == "norm" and not self.vectors:
            self.refuse(node, "a norm of a single number")
        arguments = ", ".join(self.value(a) for a in node.args)
        if name == "where" and not self.vectors:
            condition, yes, no = (self.operand(a, OR) for a in node.args)
            return f"({condition}) ? {yes} : {no}", CHOICE
        if self.vectors and text.startswith(("Math.", "Number")):
            return f"py.each({text}, {arguments})", ATOM
        return f"{text}({arguments})", ATOM

    def call_rule(self, node, callee):
        if any(k.arg is None for k in node.keywords):
            self.refuse(node, "cannot print **arguments")
        if not self.vectors and layerwise(callee):
            self.refuse(node, "a rule of single numbers calls a rule of layers")
        signature = inspect.signature(callee)
        try:
            bound = signature.bind(*node.args, **{k.arg: k.value for k in node.keywords}).arguments
        except TypeError as error:
            self.refuse(node, str(error))
        self.callees.append(inspect.unwrap(callee))
        parameters = signature.parameters.values()
        keyword = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name in bound]
        positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        while positional and positional[-1] not in bound and not keyword:
            positional.pop()
        # An argument left out before others takes its default: undefined does that.
        texts = [self.value(bound[n]) if n in bound else "undefined" for n in positional]
        if keyword:
            pairs = (_pair(n, self.value(bound[n])) for n in keyword)
            texts.append("{" + ", ".join(pairs) + "}")
        return f"{name_in_javascript(callee, self.vectors)}({', '.join(texts)})", ATOM


def _pair(name, text):
    return text if text == name else f"{name}: {text}"


def _is_read(node):
    return isinstance(node.ctx, ast.Load)


def _is_test(node):
    """Is the expression's value True or False for certain?"""
    if isinstance(node, ast.BoolOp):
        return all(map(_is_test, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        return _is_test(node.left) and _is_test(node.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return True
    return isinstance(node, ast.Compare)
