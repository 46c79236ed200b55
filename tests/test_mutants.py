"""The tests kill wrong rules: every one-place change of a rule is caught twice.

Each rule is changed in one place of its syntax (an operator, a name, a constant, a missing term),
and by hand in the ways that people do get wrong. A mutant is killed if its weights leave those of
the torch twin; and, apart from that, its printed equation must differ from the rule's.
"""

import ast
import inspect
import linecache
import math

import numpy as np
import pytest
import torch

from optlib.catalogue import CATALOGUE
from optlib.printing.latex import equation
from optlib.schedules.cosine import cosine_annealing

ROWS = [row for row in CATALOGUE if row.optimizer and row.twin]
STEPS = 40
LOUD = {"lr": 0.13, "beta": 0.83, "betas": (0.78, 0.953), "eps": 3e-3, "weight_decay": 0.17}

# Changes that leave the weights as they are, with the reason. Each must still change the equation.
EQUIVALENT = {}

SWAPS = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add, ast.Mult],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.Pow: [ast.Mult, ast.Add],
}

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


def tree_of(function):
    tree = ast.parse(inspect.getsource(function))
    definition = tree.body[0]
    definition.decorator_list = []  # neither legal ranges nor defaults are part of the rule
    definition.args.defaults = []
    definition.args.kw_defaults = [None] * len(definition.args.kwonlyargs)
    return tree


def mutants(function):
    """Yield (what was changed, the changed function), one change at a time."""
    for position, node in enumerate(ast.walk(tree_of(function))):
        for number, _ in enumerate(changes(node, function)):
            tree = tree_of(function)
            target = list(ast.walk(tree))[position]
            before = ast.unparse(target)
            for field, value in list(changes(target, function))[number].items():
                setattr(target, field, value)
            after = "without a line" if "body" in target._fields else ast.unparse(target)
            yield f"{before} -> {after}", define(function, tree)


def changes(node, function):
    """Yield {field: new value} for every change of one node."""
    if isinstance(node, ast.FunctionDef):
        for k in range(1, len(node.body) - 1):
            yield {"body": node.body[:k] + node.body[k + 1 :]}
    elif isinstance(node, ast.BinOp):
        yield from ({"op": op()} for op in SWAPS[type(node.op)])
        if not isinstance(node.op, ast.Add | ast.Mult):
            yield {"left": node.right, "right": node.left}
        nothing = ast.Constant(0 if isinstance(node.op, ast.Add | ast.Sub) else 1)
        yield from ({"left": nothing}, {"right": nothing})
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        names = names_of(function)
        if node.id in names:
            yield from ({"id": name} for name in names if name != node.id)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        others = node.value + 1, node.value / 2, -node.value
        yield from ({"value": value} for value in others if value != node.value)


def names_of(function):
    """Return the names that stand for numbers or arrays in a rule."""
    names = {n.id for n in ast.walk(tree_of(function)) if isinstance(n, ast.Name)}
    return sorted(names - set(inspect.unwrap(function).__globals__) - {"betas"})


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
    assert survivors == EQUIVALENT.get(row.name, [])
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


def cosine_killed(rule):
    """Whether a cosine differs from torch's up to T, or from the minimum after it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.7)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 11, eta_min=0.2)
    for t in range(20):
        theirs = scheduler.get_last_lr()[0] if t <= 11 else 0.2
        try:
            if not abs(rule(t, 11, 0.7, 0.2) - theirs) <= 1e-12:
                return True
        except ArithmeticError:
            return True
        optimizer.step()
        scheduler.step()
    return False


def test_every_change_of_the_cosine_is_killed():
    assert not cosine_killed(cosine_annealing)
    survivors, unseen = [], []
    for words, mutant in mutants(cosine_annealing):
        try:
            survivors += [words] * (not cosine_killed(mutant))
        except (NameError, TypeError):
            continue
        unseen += [words] * (printed(mutant) == printed(cosine_annealing))
    assert survivors == []
    assert unseen == []
