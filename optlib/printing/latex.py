"""A rule's own code, printed as its paper prints it: the equation in a chapter is never typed.

A rule is read as a list of definitions. What arrives is last step's value (`m_{t-1}`); the last
assignment to a name is this step's (`m_t`); a value that is overwritten before the end is printed
inside the line that reads it, or with a tilde if several lines do. A rule that calls another is
printed with the other's lines in place of the call. What cannot be printed this way, a loop or a
branch, is refused and never printed wrongly.

Three branches say nothing that an equation says, and are passed over: one that only raises, a
question which library an array is from (`hasattr`), and `training`: printed is what trains.
"""

import ast
import builtins
import inspect
import textwrap

LETTERS = {
    "lr": r"\eta",
    "eps": r"\epsilon",
    "weight_decay": r"\lambda",
    "lam": r"\lambda",
    "l1": r"\lambda",
    "l2": r"\lambda",
    "trust": r"\tau",
    "local": r"\phi",
    "ratio": r"\phi",
    "trust_ratio": r"\phi",
    "threshold": r"\theta",
    "warmup_steps": "T_w",
    "total_steps": "T",
    "mean": r"\mu",
    "var": r"\sigma^2",
    "running_mean": r"\mu_\mathrm{run}",
    "running_var": r"\sigma^2_\mathrm{run}",
}
GREEK = "alpha beta gamma delta zeta eta theta kappa mu nu xi rho sigma tau phi psi omega"
LETTERS |= {name: "\\" + name for name in GREEK.split(" ")}
ACCENTS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}

NAMED = {"cos": r"\cos", "sin": r"\sin", "tanh": r"\tanh", "log": r"\log"}
NAMED |= {"min": r"\min", "max": r"\max", "minimum": r"\min", "maximum": r"\max"}
NAMED |= {"sign": r"\operatorname{sign}", "len": r"\operatorname{len}"}
OVER = {None: ("i", "n"), 0: ("i", "n"), -1: ("j", "d")}  # axis: index, and up to what it counts
FENCED = {"abs": ("lvert", "rvert"), "norm": ("lVert", "rVert"), "floor": ("lfloor", "rfloor")}
CONSTANTS = {"pi": r"\pi", "inf": r"\infty"}
TRUSTED = ("builtins", "math", "numpy", "torch", "optlib.backend")  # where cos means the cosine
RELATIONS = {ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge"}
RELATIONS |= {ast.Eq: "=", ast.NotEq: r"\ne"}
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)

# How tightly a printed piece holds together: a looser one inside a tighter one gets brackets.
CASES, LOGIC, SUM, PRODUCT, POWER, ATOM = range(6)


def equation(rule, left=None):
    r"""Return `rule` as LaTeX: a `\begin{aligned}` block, without dollar signs around it.

    `left` is the left side for what the rule returns without a name: \eta_t for a schedule, whose
    first argument is t, and otherwise the rule's own name.

    Conventions: in a step, w and the state carry t-1 until the rule assigns them and t after, g and
    everything computed carries t, hyperparameters carry nothing.

    Raises ValueError naming the line that cannot be printed.
    """
    arguments = inspect.signature(rule).parameters
    names = list(arguments)
    step = names[:2] == ["w", "g"]
    frame = _Frame()
    scope = {}
    for k, (name, a) in enumerate(arguments.items()):
        moves = step and a.kind is a.POSITIONAL_OR_KEYWORD and name != "t"
        role = ("gradient" if k == 1 else "state") if moves else "constant"
        scope[name] = TRAINS if _is_mode(a) else frame.arrives(name, role)
    returned = _Reader(_Source(rule), scope, frame).body()
    if step:
        states = [name for name in names if scope[name].role == "state"]
        _name_results(states, returned, frame, rule.__name__)
        return _aligned(_definitions(frame, step))
    if left is None:
        recursive = any(_calls(expression, rule.__name__) for expression in returned)
        short = names[0] == "t" and not recursive
        inputs = [name for name in names if scope[name] is not TRAINS]
        left = r"\eta_t" if short else _call_of(rule.__name__, inputs)
    definitions = _definitions(frame, step, returned)
    texts = [_show(expression)[0] for expression in returned]
    right = texts[0] if len(texts) == 1 else _brackets(r",\; ".join(texts))
    return _aligned([*definitions, f"{left} &= {right}"])


TRAINS = object()  # what `training` means


def _is_mode(parameter):
    return parameter.name == "training" and parameter.default is True


def _aligned(lines):
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def _calls(expression, name):
    nodes = () if isinstance(expression, _Value) else ast.walk(expression)
    return any(isinstance(node, ast.Call) and node.func.id == name for node in nodes)


def _call_of(name, arguments):
    letters = ", ".join(_letter(argument) for argument in arguments)
    return rf"\operatorname{{{_words(name)}}}({letters})"


def _name_results(states, returned, frame, rule_name):
    """The k-th result is the new value of the k-th state, whatever the rule calls it."""
    if len(states) != len(returned):
        raise ValueError(f"{rule_name} returns {len(returned)} values for {states}")
    for name, value in zip(states, returned):
        if frame.last[name] is not value or not value.expression:
            frame.defines(name, value, "state")


# The definitions of a rule.


class _Value(ast.expr):
    """One meaning of one name, in place of the `ast.Name` that refers to it.

    It arrives from outside (no expression) or is defined by one.
    """

    def __init__(self, name, expression, role, frame):
        super().__init__()
        self.name = name
        self.expression = expression
        self.role = role  # state, gradient, constant or local
        self.frame = frame
        self.symbol = None  # stays None for a value that is printed inside its reader

    def is_array(self, first):
        return self is first or self.role in ("state", "gradient")


class _Over(ast.expr):
    """The sum or the mean of a term over all, over an array's first axis or over its last."""

    _fields = ("term",)

    def __init__(self, name, term, axis):
        super().__init__()
        self.name = name
        self.term = term
        self.axis = axis


class _Frame:
    """The values of a rule in the order of definition; shared with what it calls."""

    def __init__(self, main=None):
        self.main = main or self
        self.last = {}
        if not main:
            self.values = []

    def arrives(self, name, role):
        return self._add(_Value(name, None, role, self))

    def defines(self, name, expression, role):
        return self._add(_Value(name, expression, role, self))

    def _add(self, value):
        self.main.values.append(value)
        self.last[value.name] = value
        return value


def _definitions(frame, step, returned=()):
    """Give every value its symbol or none; return the lines that define the ones with a symbol."""
    reads = {}
    for expression in [*returned, *(v.expression for v in frame.values if v.expression)]:
        for node in ast.walk(expression) if not isinstance(expression, _Value) else [expression]:
            if isinstance(node, _Value):
                reads[node] = reads.get(node, 0) + 1
    taken = {}
    for value in frame.values:
        if _stands_alone(value, reads.get(value, 0)):
            value.symbol = _symbol(value, step)
            if value.symbol in taken:
                raise ValueError(f"two values of {value.name} would both print as {value.symbol}")
            taken[value.symbol] = value
    for count in _counts([*returned, *(v.expression for v in frame.values if v.expression)]):
        value = taken.get(count)
        if value and not (_is_call(value, "len")):
            raise ValueError(f"{value.name} would print as the {count} that a mean counts to")
    defined = [v for v in taken.values() if v.expression]
    return [f"{value.symbol} &= {_show(value.expression)[0]}" for value in defined]


def _counts(expressions):
    """Return the letters that the means in `expressions` count to."""
    nodes = [n for x in expressions if not isinstance(x, _Value) for n in ast.walk(x)]
    return {OVER[n.axis][1] for n in nodes if isinstance(n, _Over) and n.name == "mean"}


def _is_call(value, name):
    called = value.expression
    return isinstance(called, ast.Call) and called.func.id == name


def _stands_alone(value, reads):
    """Whether a value has a line (or, if it arrives, a symbol) of its own."""
    if value.expression is None:
        return True
    if value.role == "constant" and isinstance(value.expression, ast.Constant | _Value):
        return False
    if _is_call(value, "norm"):
        return False  # a norm's bars say more than a name for it
    own = value.frame is value.frame.main and value.role in ("state", "local")
    return (own and value.frame.last[value.name] is value) or reads != 1


def _symbol(value, step):
    overwritten = value.expression and (
        value.frame.last[value.name] is not value or value.role in ("gradient", "constant")
    )
    index = ""
    if step and (value.role != "constant" or value.expression):
        index = "t-1" if value.role == "state" and not value.expression else "t"
    return _letter(value.name, index, tilde=overwritten)


# Reading: from a function's syntax to definitions.


class _Source:
    """A function's syntax, and where each of its lines stands in its file."""

    def __init__(self, function):
        self.function = inspect.unwrap(function)
        self.name = self.function.__name__
        self.lines, self.first = inspect.getsourcelines(self.function)
        self.tree = ast.parse(textwrap.dedent("".join(self.lines))).body[0]
        if not isinstance(self.tree, ast.FunctionDef):
            self.refuse(self.tree, f"what is no `def` ({_kind(self.tree)})")

    def refuse(self, node, what):
        line = self.lines[node.lineno - 1].strip()
        number = self.first + node.lineno - 1
        raise ValueError(f"{self.name}, line {number}: cannot print {what}: {line}")


class _Reader:
    """Reads one function's body. `scope` maps each name to what it means at this point."""

    def __init__(self, source, scope, frame, open_=()):
        self.source = source
        self.scope = scope
        self.frame = frame
        self.open = (*open_, source.function)

    def body(self):
        """Read every statement; return what the function returns, as a list of expressions."""
        *statements, last = self.source.tree.body
        if statements and ast.get_docstring(self.source.tree) is not None:
            del statements[0]
        for statement in statements:
            if isinstance(statement, ast.If):
                if not self.is_passed_over(statement):
                    self.source.refuse(statement, "a branch")
            else:
                self.assignment(statement)
        if not isinstance(last, ast.Return) or last.value is None:
            self.source.refuse(last, "a function that does not end in `return value`")
        return self.results(last.value, tail=True)

    def is_passed_over(self, branch):
        """Whether a branch only raises, or is for evaluation."""
        raises = isinstance(branch.body[0], ast.Raise)
        return not branch.orelse and (raises or self.chosen(branch) is False)

    def chosen(self, node):
        """Return the outcome of a condition that is no part of the mathematics; None of others."""
        test, outcome = node.test, True
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, outcome = test.operand, False
        if isinstance(test, ast.Name) and self.scope.get(test.id) is TRAINS:
            return outcome
        asks = isinstance(test, ast.Call) and self.means(test.func) is hasattr
        return outcome if asks else None

    def assignment(self, node):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            self.source.refuse(node, f"a statement that is no plain assignment ({_kind(node)})")
        target = node.targets[0]
        if isinstance(target, ast.Name):
            self.define(target.id, self.expression(node.value))
        elif isinstance(target, ast.Tuple) and all(isinstance(x, ast.Name) for x in target.elts):
            self.unpack([x.id for x in target.elts], node)
        else:
            self.source.refuse(node, "an assignment to anything but a name")

    def define(self, name, expression):
        if isinstance(expression, ast.Tuple):  # only to be unpacked
            self.scope[name] = expression
            return
        if self.is_the_same(name, expression):  # as the called function named it
            self.scope[name] = self.frame.last[name] = expression
            return
        before = self.frame.last.get(name)
        role = before.role if before else "local"
        self.scope[name] = self.frame.defines(name, expression, role)

    def is_the_same(self, name, expression):
        step = self.frame.main.values[0].role != "constant"  # there a name is also a place
        computed = isinstance(expression, _Value) and expression.expression
        return computed and expression.name == name and not step

    def unpack(self, names, node):
        value = node.value
        if isinstance(value, ast.Name):
            value = self.scope.get(value.id)
        if isinstance(value, _Value) and value.role == "constant" and not value.expression:
            if names != [f"{value.name.removesuffix('s')}{k + 1}" for k in range(len(names))]:
                self.source.refuse(node, "an unpacking in other names or another order")
            for name in names:  # `beta1, beta2 = betas`: the reader knows the parts of a pair
                self.scope[name] = self.frame.arrives(name, "constant")
            return
        parts = self.results(value) if isinstance(value, ast.Call | ast.Tuple) else []
        if len(parts) != len(names):
            self.source.refuse(node, "this unpacking")
        for name, part in zip(names, parts):
            if isinstance(part, ast.Constant):
                self.scope[name] = part
            else:
                self.define(name, part)

    def results(self, node, tail=False):
        """Return the values of a tuple, of a call of another rule, or of one expression."""
        node = self.simplified(node)
        if isinstance(node, ast.Tuple):
            return [self.expression(element) for element in node.elts]
        called = self.called(node)
        if called and inspect.unwrap(called) is not self.open[0]:
            return self.enter(called, node, tail)
        return [self.expression(node)]

    def simplified(self, node):
        """Return the side of a choice that is no part of the mathematics; other nodes as they are.

        `[..., None]` after a sum over the last axis only puts back the axis, to be subtracted from.
        """
        if isinstance(node, ast.IfExp) and self.chosen(node) is not None:
            return self.simplified(node.body if self.chosen(node) else node.orelse)
        if isinstance(node, ast.Subscript) and ast.unparse(node.slice) in (
            "..., None",
            "(..., None)",
        ):
            term = node.value
            if isinstance(term, ast.Call) and [ast.unparse(a) for a in term.args] == ["-1"]:
                return term
        return node

    def means(self, node):
        """Return what a global name, or a name in a module, means here; None if nothing."""
        if isinstance(node, ast.Attribute):
            module = self.means(node.value)
            return getattr(module, node.attr, None) if inspect.ismodule(module) else None
        if isinstance(node, ast.Name) and node.id not in self.scope:
            globals_ = self.source.function.__globals__
            return globals_.get(node.id, getattr(builtins, node.id, None))
        return None

    def called(self, node):
        """Return the function if `node` calls one of ours, whose lines go in place of the call."""
        function = self.means(node.func) if isinstance(node, ast.Call) else None
        if inspect.isfunction(function) and not _is_trusted(function):
            return function
        return None

    def enter(self, function, call, tail):
        """Read the called function. In `return rule(...)` its names go on being the caller's."""
        source = _Source(function)
        if source.function in self.open:
            self.source.refuse(call, "a function that calls itself, in place of the call")
        bound = self.bind(function, call)
        frame = self.frame if tail else _Frame(self.frame.main)
        reader = _Reader(source, bound, frame, self.open)
        if tail:
            for name, expression in list(bound.items()):
                before = self.scope.get(name)
                moves = isinstance(before, _Value) and before.role != "constant"
                if moves and expression is not before:
                    bound[name] = before  # for its role
                    reader.define(name, expression)
        return reader.body()

    def bind(self, function, call):
        """Return {parameter: expression} of a call, with the defaults of what it leaves out."""
        if any(k.arg is None for k in call.keywords):
            self.source.refuse(call, "a call with **")
        positional = [self.expression(a) for a in call.args]
        named = {k.arg: self.expression(k.value) for k in call.keywords}
        signature = inspect.signature(function)
        bound = dict(signature.bind(*positional, **named).arguments)
        for name, parameter in signature.parameters.items():
            if name not in bound:
                default = ast.parse(repr(parameter.default), mode="eval").body
                bound[name] = self.expression(ast.copy_location(default, call))
        return bound

    def expression(self, node):
        """Return `node` with every name replaced by what it means; refuse what has no printing."""
        node = self.simplified(node)
        if isinstance(node, ast.Name | ast.Attribute):
            return self.name(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if not _is_printable(node):
            self.source.refuse(node, f"an expression of this kind ({_kind(node)})")
        return _Resolve(self).generic_visit(_copy(node))

    def name(self, node):
        if isinstance(node, ast.Name) and self.scope.get(node.id, TRAINS) is not TRAINS:
            return self.scope[node.id]
        if isinstance(node, ast.Attribute) and node.attr == "T" and self.means(node) is None:
            return ast.Attribute(self.expression(node.value), "T")
        meaning = self.means(node)
        if isinstance(meaning, int | float) and not isinstance(meaning, bool):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            return ast.Name(name) if name in CONSTANTS else ast.Constant(meaning)
        self.source.refuse(node, "a name that is neither an argument nor a number")

    def call(self, node):
        called = self.called(node)
        if called and inspect.unwrap(called) is self.open[0]:
            bound = self.bind(called, node)  # a recursion is printed as one, under the rule's name
            return ast.Call(ast.Name(called.__name__), list(bound.values()), [])
        if called:
            results = self.results(node)
            if len(results) != 1:
                self.source.refuse(node, "a call with several results inside an expression")
            return results[0]
        if isinstance(node.func, ast.Attribute) and self.means(node.func) is None:
            return self.over(node)
        function = self.means(node.func)
        name = getattr(function, "__name__", "").replace("absolute", "abs")
        known = name in NAMED or name in FENCED or name in ("exp", "sqrt", "where")
        if not known or not _is_trusted(function) or node.keywords:
            self.source.refuse(node, "a call of this function")
        return ast.Call(ast.Name(name), [self.expression(a) for a in node.args], [])

    def over(self, node):
        """Return the sum or the mean that a method takes over an axis; refuse other methods."""
        axis = ast.literal_eval(node.args[0]) if [*map(ast.unparse, node.args)] in AXES else None
        known = node.func.attr in ("sum", "mean") and (axis is not None or not node.args)
        if not known or node.keywords:
            self.source.refuse(node, "a call of this function")
        term = self.expression(node.func.value)
        first = self.frame.main.values[0]
        if any(not value.is_array(first) for value in _arriving(term)):
            self.source.refuse(node, "a sum of more than the first argument's elements")
        return _Over(node.func.attr, term, axis)


AXES = (["0"], ["-1"])


def _arriving(expression, over=True):
    """Yield the values from outside that an expression needs; without `over`, not those summed."""
    if isinstance(expression, _Value):
        if expression.expression is None:
            yield expression
        else:
            yield from _arriving(expression.expression, over)
    elif over or not isinstance(expression, _Over):
        for part in ast.iter_child_nodes(expression):
            yield from _arriving(part, over)


class _Resolve(ast.NodeTransformer):
    def __init__(self, reader):
        self.reader = reader

    def visit(self, node):
        return self.reader.expression(node) if isinstance(node, ast.expr) else node


def _copy(node):
    """A shallow copy: the transformer changes fields in place."""
    fields = {k: list(v) if isinstance(v, list) else v for k, v in ast.iter_fields(node)}
    return ast.copy_location(type(node)(**fields), node)


def _is_trusted(function):
    module = getattr(function, "__module__", None) or "builtins"
    return module in TRUSTED or module.split(".")[0] in ("numpy", "torch")


def _is_printable(node):
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (*OPERATORS, ast.BitAnd))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub)
    if isinstance(node, ast.Compare):
        return all(type(op) in RELATIONS for op in node.ops)
    return isinstance(node, ast.IfExp | ast.BoolOp | ast.Tuple)


def _kind(node):
    return type(node).__name__


# Printing: from an expression to (text, how tightly it holds together).


def _show(node):
    if isinstance(node, _Value):
        if not node.symbol:
            return _show(node.expression)
        return node.symbol, POWER if "^" in node.symbol else ATOM
    return globals()[f"_show_{_kind(node).lower()}"](node)


def _fit(node, level):
    text, own = _show(node)
    return text if own >= level else _brackets(text)


def _brackets(text):
    return rf"\left({text}\right)" if _is_tall(text) else f"({text})"


def _is_tall(text):
    return any(mark in text for mark in (r"\frac", r"\sqrt", r"\sum", r"\begin", r"\left"))


def _show__over(node):
    index, count = OVER[node.axis]
    term = _fit(_Elements(index).visit(_deep(node.term)), PRODUCT)
    mean = rf"\frac{{1}}{{{count}}} " if node.name == "mean" else ""
    return rf"{mean}\sum_{index} {term}", SUM


class _Element(ast.expr):
    """One element of an array."""

    def __init__(self, value, index):
        super().__init__()
        self.value = value
        self.index = index


def _show__element(node):
    symbol, level = _show(node.value)
    letter, _, below = symbol.partition("_")
    below = f"{below.removeprefix('{').removesuffix('}')},{node.index}" if below else node.index
    return f"{letter}_{_script(below)}", level


class _Elements(ast.NodeTransformer):
    """Put an index on whatever has elements: not on a mean or a sum over them."""

    def __init__(self, index):
        self.index = index

    def visit(self, node):
        if isinstance(node, _Value):
            if not node.symbol:
                return self.visit(_deep(node.expression))
            return _Element(node, self.index) if any(_arriving(node, over=False)) else node
        return node if isinstance(node, _Over) else self.generic_visit(node)


def _deep(node):
    """Copy an expression down to its values."""
    if isinstance(node, _Value | _Over) or not isinstance(node, ast.AST):
        return node
    fields = {
        k: [_deep(x) for x in v] if isinstance(v, list) else _deep(v)
        for k, v in ast.iter_fields(node)
    }
    return type(node)(**fields)


def _show_constant(node):
    digits = repr(node.value).removesuffix(".0")
    if "e" not in digits:
        return digits, ATOM
    mantissa, exponent = digits.split("e")
    power = f"10^{{{int(exponent)}}}"
    return (power, POWER) if mantissa == "1" else (rf"{mantissa} \cdot {power}", PRODUCT)


def _show_name(node):
    return CONSTANTS[node.id], ATOM


def _show_attribute(node):
    return rf"{_fit(node.value, ATOM)}^\top", POWER


def _show_unaryop(node):
    return f"-{_fit(node.operand, PRODUCT)}", SUM


def _show_binop(node):
    return _BINARY[type(node.op)](node.left, node.right)


def _sum(left, right):
    text = _fit(right, SUM)
    return f"{_fit(left, SUM)} + {_brackets(text) if text.startswith('-') else text}", SUM


def _difference(left, right):
    return f"{_fit(left, SUM)} - {_fit(right, PRODUCT)}", SUM


def _product(left, right):
    if isinstance(left, ast.UnaryOp):  # (-a) b is -(a b), and reads better
        return f"-{_product(left.operand, right)[0]}", SUM
    if _is_over(right):  # a sum's sign begins a factor as a bracket would
        return f"{_fit(left, PRODUCT)} {_show(right)[0]}", SUM
    left, right = _fit(left, PRODUCT), _fit(right, PRODUCT)
    times = r"\cdot" if right[0].isdigit() else r"\,"
    return f"{left} {times} {right}", PRODUCT


def _is_over(node):
    inline = isinstance(node, _Value) and not node.symbol
    return _is_over(node.expression) if inline else isinstance(node, _Over)


def _matrix_product(left, right):
    return f"{_fit(left, PRODUCT)} {_fit(right, PRODUCT)}", PRODUCT


def _quotient(left, right):
    return rf"\frac{{{_show(left)[0]}}}{{{_show(right)[0]}}}", PRODUCT


def _floor_quotient(left, right):
    return rf"\left\lfloor {_quotient(left, right)[0]} \right\rfloor", ATOM


def _remainder(left, right):
    return rf"{_fit(left, ATOM)} \bmod {_fit(right, ATOM)}", CASES


def _power(base, exponent):
    text = _show(exponent)[0]
    if text == "0.5":
        return _root(base)
    if text == "-0.5":
        return rf"\frac{{1}}{{{_root(base)[0]}}}", PRODUCT
    return f"{_fit(base, ATOM)}^{_script(text)}", POWER


def _root(node):
    return rf"\sqrt{{{_show(node)[0]}}}", ATOM


def _both(left, right):
    return _conditions("and", [left, right])


def _conditions(word, parts):
    shown = [_fit(x, LOGIC if isinstance(x, ast.Compare) else SUM) for x in parts]
    return rf" \text{{ {word} }} ".join(shown), LOGIC


_BINARY = {
    ast.Add: _sum,
    ast.Sub: _difference,
    ast.Mult: _product,
    ast.MatMult: _matrix_product,
    ast.Div: _quotient,
    ast.FloorDiv: _floor_quotient,
    ast.Mod: _remainder,
    ast.Pow: _power,
    ast.BitAnd: _both,
}


def _show_compare(node):
    text = _fit(node.left, SUM)
    for op, right in zip(node.ops, node.comparators):
        text += f" {RELATIONS[type(op)]} {_fit(right, SUM)}"
    return text, LOGIC


def _show_boolop(node):
    return _conditions("and" if isinstance(node.op, ast.And) else "or", node.values)


def _show_ifexp(node):
    return _cases(node.test, node.body, node.orelse)


def _cases(condition, yes, no):
    rows = [rf"{_show(yes)[0]} & \text{{if }} {_show(condition)[0]}"]
    while isinstance(no, ast.IfExp):
        rows.append(rf"{_show(no.body)[0]} & \text{{if }} {_show(no.test)[0]}")
        no = no.orelse
    rows.append(rf"{_show(no)[0]} & \text{{otherwise}}")
    return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}", CASES


def _show_call(node):
    name, arguments = node.func.id, node.args
    if name == "where":
        return _cases(*arguments)
    if name == "sqrt":
        return _root(*arguments)
    text = ", ".join(_show(a)[0] for a in arguments)
    if name == "exp":
        return f"e^{_script(text)}", POWER
    if name in FENCED:
        before, after = FENCED[name]
        sizes = (r"\left", r"\right") if _is_tall(text) else ("", "")
        return rf"{sizes[0]}\{before} {text} {sizes[1]}\{after}", ATOM
    head = NAMED.get(name) or rf"\operatorname{{{_words(name)}}}"
    return head + _brackets(text), PRODUCT


# Letters.


def _script(text):
    return text if len(text) == 1 else f"{{{text}}}"


def _words(name):
    return name.replace("_", r"\ ")


def _letter(name, index="", tilde=False):
    """Return a name as a letter with its accents and subscripts: lr_max is \\eta_{\\max}."""
    letter, below = _split(name)
    if tilde:
        plain = len(letter) == 1 or letter[1:].isalpha()
        letter = rf"\tilde {letter}" if plain else rf"\tilde{{{letter}}}"
    below = ",".join([*below, *([index] if index else [])])
    return f"{letter}_{_script(below)}" if below else letter


def _split(name):
    """Return a name's letter and the list of its own subscripts."""
    if name in LETTERS:
        letter, _, below = LETTERS[name].partition("_")
        return letter, [below] if below else []
    stem, _, rest = name.partition("_")
    core = stem.rstrip("0123456789")
    letter = LETTERS.get(core, core if len(core) == 1 else None)
    if letter is None:
        return rf"\mathrm{{{_words(name)}}}", []
    below = [stem[len(core) :]] if stem != core else []
    for part in filter(None, rest.split("_")):
        if part in ACCENTS:
            letter = f"{ACCENTS[part]} {letter}"
        elif part in ("max", "min"):
            below.append("\\" + part)
        else:
            below.append(part if len(part) == 1 or part.isdigit() else rf"\mathrm{{{part}}}")
    return letter, below
