"""The tests kill wrong rules: every one-place change of a rule is caught twice.

Each rule is changed in one place of its syntax (an operator, a name, a constant, a missing line),
and by hand in the ways that people do get wrong. No mutant is judged by the rule it was made from:
optimizers with a twin by torch, the others and the schedules by trajectories that
`tests/golden/generate.py` makes without optlib, regularizers by torch or by exact fractions. Apart
from that, a mutant's printed equation must differ from the rule's. Survivors are listed, each with
the reason why it is no wrong rule.
"""

import ast
import builtins
import copy
import functools
import importlib.util
import inspect
import json
import linecache
import math
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from optlib.beyond import lion, muon, schedule_free
from optlib.catalogue import CATALOGUE
from optlib.large_batch import accumulation, lamb, lars, scaling
from optlib.printing.latex import equation
from optlib.regularization import (
    batchnorm,
    clipping,
    dropout,
    early_stopping,
    label_smoothing,
    penalties,
)
from optlib.schedules import cosine, decay, restarts, warmup

GOLDEN = Path(__file__).parent / "golden"
ROWS = [row for row in CATALOGUE if row.optimizer and row.twin]
STEPS = 40
LOUD = {"lr": 0.13, "beta": 0.83, "betas": (0.78, 0.953), "eps": 3e-3, "weight_decay": 0.17}

SWAPS = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add, ast.Mult],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.Pow: [ast.Mult, ast.Add],
    ast.FloorDiv: [ast.Div, ast.Mult],
    ast.Mod: [ast.FloorDiv, ast.Mult],
    ast.MatMult: [ast.Mult, ast.Add],
    ast.BitAnd: [ast.BitOr],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
CALLS = {"min": "max", "max": "min", "mean": "sum", "sum": "mean"}

# What people write instead, as (a line of the rule, their line). Sources: optlib's notes on traps.
BY_HAND = {
    "momentum": [
        ("v = beta * v + lr * g", "v = beta * v + (1 - beta) * lr * g"),  # dampened
        ("v = beta * v + lr * g", "v = beta * v + g"),  # lr forgotten
        ("w = w - v", "w = w - lr * v"),  # lr twice
        ("w = w - v", "w = w - beta * v - lr * g"),  # Nesterov's
    ],
    "nesterov": [
        ("w = w - beta * v - lr * g", "w = w - v"),  # no look-ahead
        ("w = w - beta * v - lr * g", "w = w - beta * v"),  # no second term
        ("w = w - beta * v - lr * g", "w = w - v - lr * g"),
    ],
    "rmsprop": [
        ("w = w - lr * g / (s**0.5 + eps)", "w = w - lr * g / (s + eps) ** 0.5"),
        ("w = w - lr * g / (s**0.5 + eps)", "w = w - lr * g / (s + eps)"),
        ("s = beta * s + (1 - beta) * g**2", "s = (1 - beta) * s + beta * g**2"),
        ("s = beta * s + (1 - beta) * g**2", "s = s + g**2"),  # Adagrad's
    ],
    "adam": [
        ("beta1, beta2 = betas", "beta2, beta1 = betas"),
        ("m_hat = m / (1 - beta1**t)", "m_hat = m"),
        ("v_hat = v / (1 - beta2**t)", "v_hat = v"),
        ("m_hat = m / (1 - beta1**t)", "m_hat = m / (1 - beta1 ** (t + 1))"),
        ("m_hat = m / (1 - beta1**t)", "m = m_hat = m / (1 - beta1**t)"),  # the state corrected
        ("v = beta2 * v + (1 - beta2) * g**2", "v = beta2 * v + (1 - beta2) * m**2"),
        ("v = beta2 * v + (1 - beta2) * g**2", "v = beta2 * v + (1 - beta2) * abs(g)"),
        (
            "w = w - lr * m_hat / (v_hat**0.5 + eps)",
            "w = w - lr * m_hat / (v_hat + eps) ** 0.5",
        ),
        (
            "w = w - lr * m_hat / (v_hat**0.5 + eps)",
            "w = w - lr * m_hat / (v**0.5 + eps) * (1 - beta2**t) ** 0.5",  # epsilon-hat
        ),
        (
            "w = w - lr * m_hat / (v_hat**0.5 + eps)",
            "w = w - lr * (beta1 * m_hat + (1 - beta1) * g) / (v_hat**0.5 + eps)",  # Nadam's
        ),
    ],
    "adamw": [
        ("w = w - lr * weight_decay * w", "g = g + weight_decay * w"),  # L2 instead
        ("w = w - lr * weight_decay * w", "w = w - weight_decay * w"),
        ("w = w - lr * weight_decay * w", "w = w"),
        (
            "return adam(w, g, m, v, t, lr=lr, betas=betas, eps=eps)",
            "return adam(w, g + weight_decay * w, m, v, t, lr=lr, betas=betas, eps=eps)",
        ),
    ],
}


def named(rows):
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def lr_at(k):
    return LOUD["lr"] * (1 + 0.9 * math.sin(k / 3)) * (0.01 if 15 <= k < 25 else 1)


def some_gradients():
    rng = np.random.default_rng(0)
    size = 10.0 ** np.linspace(-8, 4, 13)
    gradients = rng.standard_normal((STEPS, 13)) * size
    gradients[rng.random((STEPS, 13)) < 0.1] = 0.0
    start = rng.standard_normal(13)
    start[::2] = 0.0
    return start, gradients


START, GRADIENTS = some_gradients()


def hyper(row):
    return {name: LOUD[name] for name in row.optimizer.hyper}


def weights_of_twin(row):
    w = torch.tensor(START, requires_grad=True)
    twin = row.twin.load()([w], **row.twin.translate(hyper(row)))
    (group,) = twin.param_groups
    path = []
    for k, g in enumerate(GRADIENTS):
        if row.twin.at_new_lr:
            row.twin.at_new_lr(twin, group, group["lr"], lr_at(k))
        group["lr"] = lr_at(k)
        w.grad = torch.tensor(g)
        twin.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


def killed_at(row, rule, truth):
    """Return the step at which the rule's weights leave the twin's, or None."""
    largest = np.abs(START)
    values = [START] + [np.zeros_like(START)] * len(row.optimizer.state_names)
    for k, g in enumerate(GRADIENTS):
        clock = (k + 1,) if row.optimizer.counts_steps else ()
        try:
            values = rule(values[0], g, *values[1:], *clock, **{**hyper(row), "lr": lr_at(k)})
        except ArithmeticError:
            return k
        largest = np.maximum(largest, np.abs(truth[k]))
        if not (np.abs(values[0] - truth[k]) <= 1e-12 * largest).all():  # nan is a kill too
            return k
    return None


def define(function, tree):
    """Return `function` as `tree` says it, with its source where `inspect` looks for it."""
    code = ast.unparse(ast.fix_missing_locations(tree))
    filename = f"<mutant {hash(code)}>"
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    namespace = dict(inspect.unwrap(function).__globals__)
    exec(compile(code, filename, "exec"), namespace)
    return namespace[function.__name__]


@functools.cache
def tree_of(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    definition.decorator_list = []  # neither legal ranges nor defaults are part of the rule
    definition.body = [line for line in definition.body if not is_guard(line)]
    return tree


def is_guard(line):
    """Whether a line only refuses what is illegal: the refusals have tests of their own."""
    return isinstance(line, ast.If) and isinstance(line.body[0], ast.Raise)


def mutants(function):
    """Yield (the changed line, the changed function), one change at a time."""
    original = tree_of(function)
    nodes = list(ast.walk(original))
    defaults = set(ast.walk(original.body[0].args))  # no part of the rule: the class has its own
    lines = {n: line for line in nodes if isinstance(line, ast.stmt) for n in ast.walk(line)}
    for position, node in enumerate(nodes):
        if node in defaults:
            continue
        for number, _ in enumerate(changes(node, original)):
            tree = copy.deepcopy(original)
            copies = list(ast.walk(tree))
            target = copies[position]
            before = list(target.body) if is_list(target) else []
            for name, value in list(changes(target, tree))[number].items():
                setattr(target, name, value)
            gone = [line for line in before if line not in target.body]
            line = gone[0] if gone else copies[nodes.index(lines[node])]
            words = "without " * bool(gone) + ast.unparse(line).splitlines()[0]
            if gone or words != ast.unparse(lines[node]).splitlines()[0]:
                yield f"{function.__name__}: {words}", define(function, tree)


def is_list(node):
    return isinstance(node, ast.FunctionDef | ast.If | ast.For)


def changes(node, tree):
    """Yield {field: new value} for every change of one node."""
    if is_list(node):
        for k, line in enumerate(node.body):
            is_words = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
            is_end = isinstance(node, ast.FunctionDef) and k == len(node.body) - 1
            if len(node.body) > 1 and not is_words and not is_end:
                yield {"body": node.body[:k] + node.body[k + 1 :]}
    if isinstance(node, ast.If | ast.IfExp):
        yield from ({"test": ast.Constant(value)} for value in (True, False))
    if isinstance(node, ast.BinOp):
        yield from ({"op": op()} for op in SWAPS[type(node.op)])
        if not isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd):
            yield {"left": node.right, "right": node.left}
        nothing = ast.Constant(0 if isinstance(node.op, ast.Add | ast.Sub) else 1)
        if isinstance(node.op, ast.BitAnd):
            nothing = ast.Constant(True)
        if not isinstance(node.op, ast.MatMult):
            yield from ({"left": nothing}, {"right": nothing})
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield from ({"ops": [op()]} for op in SWAPS[type(node.ops[0])])
    elif isinstance(node, ast.BoolOp):
        yield from ({"op": op()} for op in SWAPS[type(node.op)])
        yield from ({"values": [value]} for value in node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield {"op": ast.UAdd()}
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in CALLS:
            yield {"func": ast.Name(CALLS[node.func.id], ast.Load())}
        if node.func.id == "where":
            condition, yes, no = node.args
            yield {"args": [condition, no, yes]}
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in CALLS:
            yield {"func": ast.Attribute(node.func.value, CALLS[node.func.attr], ast.Load())}
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            others = [n.attr for n in ast.walk(tree) if is_own(n) and n.attr != node.attr]
            yield from ({"attr": name} for name in sorted(set(others)))
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        names = names_in(tree)
        if node.id in names:
            yield from ({"id": name} for name in names if name != node.id)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield {"value": not node.value}
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        others = node.value + 1, node.value / 2, -node.value
        yield from ({"value": value} for value in others if value != node.value)


def is_own(node):
    own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return own and node.value.id == "self"


def names_in(tree):
    """Return the names that stand for numbers or arrays: what is given or assigned."""
    given = {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments) for a in arguments(n)}
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and is_stored(n)}
    return sorted((given | stored) - set(dir(builtins)) - {"betas", "self"})


def arguments(node):
    return [*node.posonlyargs, *node.args, *node.kwonlyargs]


def is_stored(name):
    return isinstance(name.ctx, ast.Store)


def runs(function, row):
    """Whether a mutant runs at all: a name read before it is assigned is no wrong rule."""
    try:
        killed_at(row, function, np.zeros((STEPS, 13)))
    except (NameError, TypeError, ValueError):
        return False
    return True


@named(ROWS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # mutants divide by zero
def test_every_change_of_a_rule_is_killed(row):
    truth = weights_of_twin(row)
    assert killed_at(row, row.rule, truth) is None, "the rule itself must live"
    survivors, unseen, count = [], [], 0
    for words, mutant in mutants(row.rule):
        if runs(mutant, row):
            count += 1
            survivors += [words] * (killed_at(row, mutant, truth) is None)
            unseen += [words] * (printed(mutant) == printed(row.rule))
    assert count >= 10
    assert survivors == []
    assert unseen == []


def printed(rule):
    """Return the rule's equation, or why it has none: refused is not printed wrongly."""
    try:
        return equation(rule)
    except ValueError as error:
        return str(error)


def by_hand():
    for row in ROWS:
        for number, (line, instead) in enumerate(BY_HAND.get(row.name, [])):
            yield pytest.param(row, line, instead, id=f"{row.name}-{number}")


@pytest.mark.parametrize("row, line, instead", list(by_hand()))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_people_write_instead_is_killed(row, line, instead):
    source = inspect.getsource(row.rule)
    assert source.count(line) == 1
    mutant = define(row.rule, ast.parse(source.replace(line, instead)))
    assert killed_at(row, mutant, weights_of_twin(row)) is not None
    assert printed(mutant) != printed(row.rule)


# The rules that torch has no optimizer for. A group is a judge, `pairs`, and what it judges: every
# function of `targets`, changed in one place, is put where it was, and `pairs` runs all of them.


@dataclass(frozen=True)
class Group:
    """`pairs()` yields (ours, theirs)."""

    pairs: object
    targets: list  # (module or class, name)


@functools.cache
def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def is_near(ours, theirs):
    if ours is None or theirs is None or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return math.isclose(ours, theirs, rel_tol=1e-11, abs_tol=1e-14)
    ours, theirs = (x.detach() if torch.is_tensor(x) else x for x in (ours, theirs))
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape:
        return False
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        return False
    ours, theirs = ours[finite], theirs[finite]
    return bool((abs(ours - theirs) <= 1e-14 + 1e-11 * abs(theirs)).all())


def steps(name, rule, states, clock=False, only=None, seen=lambda values: [values[0]], **more):
    """Yield the points of a rule along the trajectories of a file, over the largest so far."""
    for number, case in enumerate(golden(f"steps_{name}")):
        if only is not None and number != only:
            continue
        w = np.reshape(case["start"], case["shape"])
        hyper = {k: tuple(v) if k == "betas" else v for k, v in case["hyper"].items()} | more
        values, largest = [w] + [np.zeros_like(w)] * states, 0
        for t, (lr, g, truth) in enumerate(
            zip(case["lrs"], case["gradients"], case["weights"]), start=1
        ):
            lr = case["lrs"][0] if "warmup_steps" in hyper else lr
            if adam := hyper.pop("adam", None):
                hyper |= {"betas": (hyper.pop("beta"), adam[0]), "eps": adam[1]}
            now = [t] if clock else []
            values = rule(values[0], np.reshape(g, w.shape), *values[1:], *now, lr=lr, **hyper)
            truth = np.array(truth)
            largest = np.maximum(largest, abs(truth))
            scale = np.where(largest > 0, largest, 1)
            yield np.concatenate([np.ravel(x) for x in seen(values)]) / scale, truth / scale


def lars_pairs():
    yield from steps("lars", lars.lars, 1)
    yield from steps("lars", lars.lars_or_momentum, 1)
    yield from steps("momentum_with_l2", lars.lars_or_momentum, 1, adapt=False)


def lamb_pairs():
    yield from steps("lamb", lamb.lamb, 2, clock=True)
    yield from steps("lamb", lamb.lamb_or_adamw, 2, clock=True)
    yield from steps("adamw", lamb.lamb_or_adamw, 2, clock=True, adapt=False)


def lion_pairs():
    return steps("lion", lion.lion, 1)


def muon_pairs():
    loud = {"betas": (0.1, 0.2), "eps": 0.25}
    w, g, m, v = np.arange(1.0, 17.0).reshape(4, 2, 2)
    yield muon.muon_or_adamw(w, g, m, v, 3)[2], v
    yield from steps("muon", muon.muon, 1)
    yield from steps("muon", muon.muon_or_adamw, 2, clock=True, **loud)
    yield from steps("adamw", muon.muon_or_adamw, 2, True, only=0, orthogonal=False, beta=0.5)
    yield from steps("adamw", muon.muon_or_adamw, 2, True, only=1, beta=0.5)


def schedule_free_pairs():
    two = {"clock": True, "seen": lambda values: [values[0], values[-2]]}
    yield from steps("schedule_free_sgd", schedule_free.schedule_free_sgd, 2, **two)
    yield from steps("schedule_free_adamw", schedule_free.schedule_free_adamw, 3, **two)


def rates(module, *names):
    """Return the judge of schedules: their rates in the files of the same names."""

    def pairs():
        for name in names:
            for case in golden(f"rates_{name}"):
                for t, rate in zip(case["t"], case["rates"]):
                    yield getattr(module, name)(t, *case["arguments"]), rate

    return pairs


def cosine_pairs():
    """By torch's scheduler up to T, by the minimum after it, and by the file."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 11, eta_min=0.2)
    for t in range(20):
        theirs = scheduler.get_last_lr()[0] if t <= 11 else 0.2
        yield cosine.cosine_annealing(t, 11, 0.7, 0.2), theirs
        optimizer.step()
        scheduler.step()
    yield from rates(cosine, "cosine_annealing")()


def warmup_pairs():
    yield from rates(warmup, "linear_warmup", "warmup_cosine", "warmup_stable_decay", "one_cycle")()
    case = golden("rates_warmup_cosine")[0]
    steps, total, high, low = case["arguments"]

    def after(t):
        half = math.pi * min(t / (total - steps), 1) / 2
        return high * math.cos(half) ** 2 + low * math.sin(half) ** 2

    for t, rate in zip(case["t"], case["rates"]):
        yield warmup.warmup(after, steps)(t), rate


def penalty_pairs():
    values = [[-2.0, -0.5, -0.25, 0.0, 0.25, 0.5, 3.0], [[1.5, -0.0], [0.75, -4.0]], 1.5]
    yield penalties.soft_threshold(np.array([math.nan, 1.0]), 0.25), [math.nan, 0.75]
    for lam in (0.0, 0.3, 0.5, 1.7):
        for value in values:
            w = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            ours = w.detach().numpy() if w.ndim else value
            for penalty, loss in ((penalties.l2_penalty, w * w), (penalties.l1_penalty, w.abs())):
                total = lam * loss.sum()
                (slope,) = torch.autograd.grad(total, w)
                yield from zip(penalty(ours, lam), (total, slope))
            yield penalties.soft_threshold(ours, lam), F.softshrink(w, lam)
            g = torch.cos(w.detach())
            moved = F.softshrink(w - 0.7 * g, 0.7 * lam)
            yield penalties.proximal_step(ours, g.numpy(), lr=0.7, l1=lam), moved
            decayed = torch.nn.Parameter(w.detach().clone())
            decayed.grad = torch.zeros_like(decayed)
            torch.optim.AdamW([decayed], lr=0.7, weight_decay=lam).step()
            yield penalties.decoupled_decay(ours, lr=0.7, weight_decay=lam), decayed


def dropout_pairs():
    x = np.array([[1.0, -2.0, 0.0, 4.0], [0.5, 6.0, -7.0, 8.0]])
    for p in (0.0, 0.25, 0.5, 0.9, 1.0):
        chance = np.random.default_rng(5).random(x.shape)
        kept = [[v / (1 - p) if c >= p else 0.0 for v, c in zip(*r)] for r in zip(x, chance)]
        yield dropout.drop(x, (chance >= p) * 1, p), kept
        rng = np.random.default_rng(5)
        yield dropout.dropout(x, p, rng), kept
        rng, fresh = np.random.default_rng(5), np.random.default_rng(5)
        yield dropout.dropout(x, p, rng, training=False), x
        yield rng.random(), fresh.random()  # nothing was drawn
        layer = dropout.Dropout(p, torch.Generator().manual_seed(7))
        chance = torch.rand(x.shape, generator=torch.Generator().manual_seed(7))
        kept = [[v / (1 - p) if c >= p else 0.0 for v, c in zip(*r)] for r in zip(x, chance)]
        yield layer(torch.tensor(x)), kept
        yield layer.eval()(torch.tensor(x)), x


def batchnorm_pairs():
    """By torch's functions and, backwards, by its autograd."""
    rng = np.random.default_rng(3)
    for n, momentum, eps in ((2, 0.1, 1e-5), (6, 0.3, 0.04), (5, 1.0, 0.7)):
        x, dy = rng.normal(2, 3, (n, 3)), rng.normal(size=(n, 3))
        gamma, beta, mean = rng.normal(size=(3, 3))
        var = rng.uniform(1, 2, 3)
        tx, tg, tb = (torch.tensor(a, requires_grad=True) for a in (x, gamma, beta))
        tm, tv = torch.tensor(mean), torch.tensor(var)
        own = {"momentum": momentum, "eps": eps}
        y = batchnorm.batch_norm(x, gamma, beta, mean, var, False, **own)
        yield from zip(y, (F.batch_norm(tx, tm, tv, tg, tb, False, momentum, eps), tm, tv))
        layer = batchnorm.BatchNorm(3, momentum, eps).double()
        twin = torch.nn.BatchNorm1d(3, eps, momentum, dtype=torch.float64)
        with torch.no_grad():
            for here in (layer, twin):
                here.running_mean.copy_(tm)
                here.running_var.copy_(tv)
            for ours, theirs in ((layer.gamma, twin.weight), (layer.beta, twin.bias)):
                ours.copy_(torch.tensor(rng.normal(size=3)))
                theirs.copy_(ours)
        for factor in (1, 2):
            yield layer(factor * tx), twin(factor * tx)
            yield layer.running_mean, twin.running_mean
            yield layer.running_var, twin.running_var
        yield layer.eval()(tx), twin.eval()(tx)
        ours = batchnorm.batch_norm(x, gamma, beta, mean, var, **own)
        ty = F.batch_norm(tx, tm, tv, tg, tb, True, momentum, eps)
        yield from zip(ours, (ty, tm, tv))
        slopes = torch.autograd.grad(ty, (tx, tg, tb), torch.tensor(dy))
        yield from zip(batchnorm.batch_norm_backward(dy, x, gamma, eps), slopes)
        for shape in ((n, 3), (2, n, 3)):
            x = rng.normal(1, 2, shape)
            ty = F.layer_norm(torch.tensor(x), (3,), tg, tb, eps)
            yield batchnorm.layer_norm(x, gamma, beta, eps), ty
            layer = batchnorm.LayerNorm(3, eps).double()
            with torch.no_grad():
                layer.gamma.copy_(tg)
                layer.beta.copy_(tb)
            yield layer(torch.tensor(x)), ty


def early_stopping_pairs():
    for case in golden("criteria"):
        val, train, k = case["val"], case["train"], case["k"]
        yield early_stopping.generalization_loss(val), case["generalization_loss"]
        yield early_stopping.training_progress(train, k), case["training_progress"]
        still = math.inf if case["generalization_loss"] else 0
        quotient = case["progress_quotient"]
        ours = early_stopping.progress_quotient(val, train, k)
        yield ours, still if quotient is None else quotient
    for case in golden("early_stopping"):
        stopping = early_stopping.EarlyStopping(case["patience"], case["min_delta"])
        weights = [0]
        for k, (loss, *told) in enumerate(
            zip(case["losses"], case["stop"], case["best_loss"], case["best_step"])
        ):
            weights[0] = k
            yield stopping.update(loss, weights), told[0]
            yield stopping.best_loss, told[1]
            yield stopping.best_step, told[2]
            yield stopping.best_weights, [told[2]]
    stopping = early_stopping.EarlyStopping(2)
    nothing = [math.inf, -1, None]
    yield from zip([stopping.best_loss, stopping.best_step, stopping.best_weights], nothing)
    for stop in (False, True, True):
        yield stopping.update(math.nan, [1]), stop
        yield from zip([stopping.best_loss, stopping.best_step, stopping.best_weights], nothing)


def clipping_pairs():
    for case in golden("clipping"):
        grads, limit = [np.array(g) for g in case["grads"]], case["limit"]
        yield clipping.global_norm(grads), case["norm"]
        clipped, before = clipping.clip_by_global_norm(iter(grads), limit)
        yield before, case["norm"]
        yield len(clipped), len(grads)
        yield from zip(clipped, case["clipped"])
        if len(grads) == 1:
            yield clipping.clip_by_norm(grads[0], limit), case["clipped"][0]
        params = [torch.nn.Parameter(torch.zeros(len(g), dtype=torch.float64)) for g in grads]
        for p, g in zip(params, grads):
            p.grad = torch.tensor(g)
        without = torch.nn.Parameter(torch.zeros(1))
        yield clipping.clip_gradients([without, *params], limit), case["norm"]
        yield from zip((p.grad for p in params), case["clipped"])
        yield without.grad, None
        for p, g in zip(params, grads):
            p.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_value_(params, limit)
        for p, g in zip(params, grads):
            yield clipping.clip_by_value(g, limit), p.grad


def smoothing_pairs():
    rng = np.random.default_rng(9)
    for shape in ((4,), (2, 3, 4)):
        sure = np.zeros(shape)
        sure[..., 1] = 1.0
        expected = np.full(shape, 0.3 / 4)
        expected[..., 1] = 1 - 0.3 * 3 / 4
        yield label_smoothing.smooth_labels(sure, 0.3), expected
    single = np.zeros((1, 2), np.float32)
    loss = label_smoothing.smoothed_cross_entropy(single, np.array([1]), 0.5)
    yield loss.dtype == np.float32, True
    for smoothing in (0.0, 0.1, 0.5, 1.0):
        for size in (1, 400):
            z, labels = rng.normal(size=(5, 4)) * size, rng.integers(0, 4, 5)
            tz, tl = torch.tensor(z), torch.tensor(labels)
            theirs = F.cross_entropy(tz, tl, label_smoothing=smoothing)
            yield label_smoothing.smoothed_cross_entropy(z, labels, smoothing), theirs
            yield label_smoothing.smoothed_cross_entropy(tz, tl, smoothing), theirs


def scaling_pairs():
    for case in golden("scaling"):
        sizes = case["lr"], case["batch_size"], case["base"]
        yield scaling.scaled_lr(*sizes), case["linear"]
        yield scaling.scaled_lr(*sizes, rule="sqrt"), case["sqrt"]
    for case in golden("variance"):
        given = case["lr"], case["batch"], case["h"], case["noise"]
        yield scaling.stationary_variance(*given), case["var"]
    for lr, h in ((2.0, 1.0), (0.5, 4.0), (5.0, 1.0)):  # v -> (1 - lr h)^2 v + ... grows
        yield scaling.stationary_variance(lr, 10**6, h, 1.0), math.inf
    for case in golden("noise_scale"):
        small, big = case["small"], case["big"]
        for pair, estimate in zip(case["pairs"], case["estimates"]):
            yield scaling.gradient_and_noise(*pair, small, big), estimate
        yield scaling.noise_scale(case["pairs"], small, big), case["noise_scale"]
    for b in (0.5, 1, 3):  # McCandlish et al. 2018: at b times the scale, 1 + 1 / b and 1 + b
        yield scaling.relative_steps(b * 40, 40), 1 + 1 / b
        yield scaling.relative_examples(b * 40, 40), 1 + b


def accumulation_pairs():
    def mean(w, part):
        return w * np.float64(sum(part)) / len(part) if part else w * math.nan

    for case in golden("accumulation"):
        parts, w = case["examples"], np.array([1.0, -2.0])
        means = [mean(1.0, part) for part in parts]
        yield accumulation.weighted_mean(means, map(len, parts)), case["mean"]
        yield accumulation.accumulated_gradient(mean, w, iter(parts)), case["mean"] * w
        thrice = accumulation.token_weighted_gradient(
            mean, w, iter(parts), lambda part: 3 * len(part)
        )
        yield thrice, case["mean"] * w
    yield from accumulated_step_pairs()


def accumulated_step_pairs():
    """One step on all at once, which is what torch is for."""
    rng = np.random.default_rng(4)
    x, y = torch.tensor(rng.normal(size=(9, 3))), torch.tensor(rng.normal(size=(9, 1)))
    cuts = [slice(0, 4), slice(4, 5), slice(5, 5), slice(5, 9)]
    for max_norm in (None, 0.3, 100.0):
        for tokens in (len, lambda targets: 2 * len(targets) if targets.shape[1] == 1 else 1):
            ours, theirs = (torch.nn.Linear(3, 1).double() for _ in "ab")
            theirs.load_state_dict(ours.state_dict())
            mine, twin = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (ours, theirs))
            beside = torch.nn.Parameter(torch.ones(1))  # the optimizer's, and not the model's
            mine.add_param_group({"params": [beside]})
            for p in (beside, *ours.parameters()):
                p.grad = torch.ones_like(p)  # left over
            loss = accumulation.accumulate_and_step(
                ours, mine, F.mse_loss, [(x[c], y[c]) for c in cuts], max_norm, tokens=tokens
            )
            whole = F.mse_loss(theirs(x), y)
            whole.backward()
            if max_norm:
                torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
            twin.step()
            yield loss, whole.item()
            yield beside, [1.0]
            yield from zip(ours.parameters(), theirs.parameters())


def of(module, *names):
    return [(module, name) for name in names]


GROUPS = {
    "lars": Group(lars_pairs, of(lars, "lars", "lars_or_momentum")),
    "lamb": Group(lamb_pairs, of(lamb, "lamb", "lamb_or_adamw")),
    "lion": Group(lion_pairs, of(lion, "lion")),
    "muon": Group(muon_pairs, of(muon, "muon", "muon_or_adamw", "orthogonalize")),
    "schedule_free": Group(
        schedule_free_pairs,
        of(
            schedule_free,
            "schedule_free_sgd",
            "schedule_free_adamw",
            "warmup_and_share",
            "between",
            "first",
        ),
    ),
    "decay": Group(
        rates(
            decay,
            "constant",
            "step_decay",
            "exponential_decay",
            "linear_decay",
            "inverse_square_root",
            "noam",
        ),
        of(
            decay,
            "constant",
            "step_decay",
            "exponential_decay",
            "linear_decay",
            "inverse_square_root",
            "noam",
        ),
    ),
    "cosine": Group(cosine_pairs, of(cosine, "cosine_annealing")),
    "restarts": Group(rates(restarts, "warm_restarts"), of(restarts, "warm_restarts")),
    "warmup": Group(
        warmup_pairs,
        of(
            warmup, "linear_warmup", "warmup", "warmup_cosine", "warmup_stable_decay", "one_cycle"
        ),
    ),
    "penalties": Group(
        penalty_pairs,
        of(
            penalties,
            "l2_penalty",
            "l1_penalty",
            "soft_threshold",
            "proximal_step",
            "decoupled_decay",
            "_total",
        ),
    ),
    "dropout": Group(
        dropout_pairs, [*of(dropout, "drop", "dropout"), (dropout.Dropout, "forward")]
    ),
    "batchnorm": Group(
        batchnorm_pairs,
        [
            *of(
                batchnorm,
                "normalize",
                "moments",
                "batch_norm",
                "batch_norm_backward",
                "layer_norm",
            ),
            (batchnorm.BatchNorm, "forward"),
            (batchnorm.LayerNorm, "forward"),
        ],
    ),
    "early_stopping": Group(
        early_stopping_pairs,
        [
            *of(
                early_stopping, "generalization_loss", "training_progress", "progress_quotient"
            ),
            (early_stopping.EarlyStopping, "__init__"),
            (early_stopping.EarlyStopping, "update"),
        ],
    ),
    "clipping": Group(
        clipping_pairs,
        of(
            clipping,
            "clip_by_value",
            "clip_by_norm",
            "global_norm",
            "clip_by_global_norm",
            "clip_gradients",
        ),
    ),
    "label_smoothing": Group(
        smoothing_pairs,
        of(
            label_smoothing, "smooth_labels", "smoothed_cross_entropy", "_log_softmax", "_one_hot"
        ),
    ),
    "scaling": Group(
        scaling_pairs,
        of(
            scaling,
            "scaled_lr",
            "stationary_variance",
            "gradient_and_noise",
            "noise_scale",
            "relative_steps",
            "relative_examples",
        ),
    ),
    "accumulation": Group(
        accumulation_pairs,
        of(
            accumulation,
            "weighted_mean",
            "accumulated_gradient",
            "token_weighted_gradient",
            "accumulate_and_step",
        ),
    ),
}  # fmt: skip


# Mutants that live, by group: changed lines, and why they are no wrong rules.

UNUSED = "what is divided by where nothing comes of the quotient; it only must not be 0"
NO_STEP = "where r is 0 the ratio multiplies nothing, and t and lr are never below 0"
ONE_SHAPE = "all arrays have one shape, and a negative size is NumPy's 'what is left'"
CHEAPER = "which of a matrix and its transpose is worked on changes the cost, not the result"
EDGE = "both sides agree at the edge"
ALGEBRA = "another way to write the same number"
FIRST_SHARE = "the share is 1 at the first step and at no other"
WARM = "t is at least 1, so a warmup of 0 and of 1 are the same"
NEVER = "a random number equals p with probability 0"
ZERO = "zeros of the same shape"
NO_CHANGE = "evaluation returns the statistics as they were, and copying them changes nothing"
LAST = "of (batch, classes) the last axis is axis 1"
BOTH = "logits and labels come from one library, and the tests have torch"
HARMLESS = {
    "lars": {
        UNUSED: [
            f"lars: denominator = where(g_norm > 0, g_norm + weight_decay * w_norm, {x})"
            for x in ("2.0", "0.5", "-1.0")
        ]
    },
    "lamb": {
        UNUSED: [
            f"lamb: denominator = where(r_norm > 0, r_norm, {x})" for x in ("2.0", "0.5", "-1.0")
        ],
        NO_STEP: [
            f"lamb: ratio = where((w_norm > 0) & {x}, w_norm / denominator, 1.0)"
            for x in ("True", "(r_norm >= 0)", "(denominator > 0)", "(lr > 0)", "(t > 0)")
        ]
        + ["lamb: ratio = where((w_norm > 0) & (w_norm > 0), w_norm / denominator, 1.0)"],
    },
    "muon": {
        ONE_SHAPE: [
            *(f"muon: rows, columns = (len({x}), w[0].reshape(-1).shape[0])" for x in "gmu"),
            *(f"muon: rows, columns = (len(w), {x}[0].reshape(-1).shape[0])" for x in "gmu"),
            "muon: rows, columns = (len(w), w[0].reshape(-2).shape[0])",
            "muon: rows, columns = (len(w), w[1].reshape(-1).shape[0])",
            *(f"muon_or_adamw: if orthogonal and {x}.ndim >= 2:" for x in "gmv"),
            "orthogonalize: return orthogonalize(u.reshape(len(u), -2), steps, eps)"
            ".reshape(u.shape)",
        ],
        CHEAPER: [
            "orthogonalize: without if u.shape[0] > u.shape[1]:",
            "orthogonalize: if False:",
            "orthogonalize: if u.shape[0] < u.shape[1]:",
            "orthogonalize: if u.shape[1] > u.shape[1]:",
            "orthogonalize: if u.shape[0] > u.shape[-1]:",
        ],
        EDGE: ["orthogonalize: x = u / where(size >= eps, size, eps)"],
        ALGEBRA: ["orthogonalize: x = a * x + (b * gram + gram @ (c * gram)) @ x"],
    },
    "schedule_free": {
        FIRST_SHARE: [
            "schedule_free_sgd: z = z + first(share) * w - lr * (g + weight_decay * w)",
            "schedule_free_adamw: z = z + first(share) * w"
            " - lr * (g / (v_hat ** 0.5 + eps) + weight_decay * w)",
        ],
        EDGE: ["warmup_and_share: s = where(t <= top, t, top)"],
        WARM: ["warmup_and_share: s = where(t < warmup_steps, t, top)"],
    },
    "warmup": {
        EDGE: [
            "warmup: return lambda t: linear_warmup(t, steps, schedule(0)) if t <= steps"
            " else schedule(t - steps)",
            "one_cycle: return cosine_annealing(t, t_peak, lr_max / div, lr_max) if t <= t_peak"
            " else cosine_annealing(t - t_peak, total_steps - 1 - t_peak, lr_max,"
            " lr_max / div / final_div)",
        ]
    },
    "penalties": {
        EDGE: [
            "soft_threshold: return where(abs(w) >= threshold, w - threshold * sign(w), 0 * w)"
        ]
    },
    "dropout": {
        NEVER: [
            "dropout: return drop(x, rng.random(np.shape(x)) > p, p) if training else x",
            "forward: return drop(x, chance > self.p, self.p)",
        ],
        ZERO: ["drop: return x * keep_mask / (1 - p) if p < 1 else 0 * keep_mask"],
    },
    "batchnorm": {
        ALGEBRA: [
            "moments: return (mean, ((mean - x) ** 2).mean(0))",
            "layer_norm: var = ((mean - x) ** 2).mean(-1)[..., None]",
        ],
        ONE_SHAPE: ["batch_norm_backward: n = len(dy)"],
        NO_CHANGE: ["forward: if True:", "forward: if self.eps:", "forward: if self.momentum:"],
    },
    "clipping": {EDGE: ["clip_by_value: return where(abs(g) >= limit, limit * sign(g), g)"]},
    "label_smoothing": {
        ONE_SHAPE: [
            "smoothed_cross_entropy: q = smooth_labels(_one_hot(labels, logits), smoothing)"
        ],
        LAST: [
            line.replace("(1", f"({one}").replace("[1", f"[{one}")
            for one in ("+1", "--1")
            for line in (
                "smoothed_cross_entropy: return -(q * log_p).sum(1).mean()",
                "_log_softmax: return z.log_softmax(1)",
                "_log_softmax: z = z - z.max(1, keepdims=True)",
                "_log_softmax: return z - np.log(np.exp(z).sum(1, keepdims=True))",
                "_one_hot: return np.eye(like.shape[1], dtype=like.dtype)[labels]",
                "_one_hot: return torch.nn.functional.one_hot(labels, like.shape[1]).to(like)",
            )
        ],
        BOTH: [
            "_log_softmax: if isinstance(z, torch.Tensor):",
            "_one_hot: if isinstance(like, torch.Tensor):",
            "_one_hot: if torch is not None and isinstance(labels, torch.Tensor):",
        ],
    },
    "scaling": {ALGEBRA: ["noise_scale: square, trace = np.sum(estimates, axis=0)"]},
}  # fmt: skip
# Changed lines that no equation shows: printed is what trains.
UNSEEN = {"batchnorm": r"batch_norm: (without if not training:|return \(normalize\(.*)"}


def verdict(group):
    """Return "lives", "killed" or, where the mutant is no program that runs, "fails"."""
    try:
        with np.errstate(divide="raise", invalid="raise"):  # no rule divides by nothing
            for ours, theirs in group.pairs():
                if not is_near(ours, theirs):
                    return "killed"
    except (ArithmeticError, RecursionError):
        return "killed"
    except (AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError):
        return "fails"
    return "lives"


def judged(group):
    """Yield (changed line, verdict, whether its equation is the rule's) for every mutant."""
    for owner, name in group.targets:
        right = inspect.getattr_static(owner, name)
        bare = inspect.unwrap(right)
        for words, mutant in mutants(bare):
            mutant.__qualname__, mutant.__module__ = bare.__qualname__, bare.__module__
            setattr(owner, name, mutant)
            try:
                said = verdict(group)
            finally:
                setattr(owner, name, right)
            yield words, said, is_unseen(bare, mutant)


def is_unseen(rule, mutant):
    """Whether a rule has an equation, and the mutant the same."""
    return " &= " in equation_of(rule) and printed(mutant) == equation_of(rule)


equation_of = functools.cache(lambda rule: printed(rule))


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors of six numbers: threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


each_group = pytest.mark.parametrize("name", GROUPS)


@each_group
def test_the_rules_themselves_live(name):
    assert verdict(GROUPS[name]) == "lives"
    for count, (ours, theirs) in enumerate(GROUPS[name].pairs(), start=1):
        assert is_near(ours, theirs), f"pair {count}: {ours} is not {theirs}"
    assert count > 10


@each_group
@pytest.mark.filterwarnings("ignore")  # mutants divide by zero
def test_every_change_of_a_rule_without_a_twin_is_killed(name):
    group = GROUPS[name]
    verdicts = [x for x in judged(group) if x[1] != "fails"]
    assert len(verdicts) >= 10
    lived = sorted({words for words, said, _ in verdicts if said == "lives"})
    assert lived == sorted(line for lines in HARMLESS.get(name, {}).values() for line in lines)
    unseen = [words for words, _, is_unseen in verdicts if is_unseen]
    assert [words for words in unseen if not re.fullmatch(UNSEEN.get(name, ""), words)] == []


def test_the_golden_files_are_what_their_program_makes():
    place = importlib.util.spec_from_file_location("generate", GOLDEN / "generate.py")
    generate = importlib.util.module_from_spec(place)
    place.loader.exec_module(generate)
    made = dict(generate.files())
    assert made == {p.name: p.read_text(encoding="utf-8") for p in GOLDEN.glob("*.json")}
    imported = {n for n in ast.walk(ast.parse(inspect.getsource(generate))) if is_import(n)}
    names = {alias.name for n in imported for alias in n.names} | {
        n.module for n in imported if isinstance(n, ast.ImportFrom)
    }
    assert not names & {"optlib", "numpy", "torch"}


def is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)
