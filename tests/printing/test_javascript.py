"""The printed JavaScript gives Python's numbers: every rule, every schedule, every landscape."""

import importlib
import inspect
import json
import pkgutil
import shutil
import subprocess

import numpy as np
import pytest

import optlib
from optlib.backend import norm, where
from optlib.landscapes import LANDSCAPES
from optlib.optimizers.adam import adam
from optlib.printing.javascript import CannotPrint, function, layerwise, program

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

# Hyperparameters far from their defaults, so that dropping one shows.
LOUD = {
    "lr": 0.3,
    "beta": 0.7,
    "betas": (0.6, 0.8),
    "eps": 0.05,
    "weight_decay": 0.2,
    "trust": 0.4,
}
# One chooses between two printed rules by a flag; the others are of matrices alone.
NOT_PRINTED = ["lamb_or_adamw", "muon", "muon_or_adamw"]


def functions_of(*packages):
    found = {}
    for package in packages:
        try:
            package = importlib.import_module(f"optlib.{package}")
        except ModuleNotFoundError:
            continue
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            module = importlib.import_module(info.name)
            for name, f in inspect.getmembers(module, inspect.isfunction):
                if f.__module__ == info.name and not name.startswith("_"):
                    found[name] = f
    return found


def first_arguments(f):
    return list(inspect.signature(f).parameters)[:2]


RULES = {
    name: f
    for name, f in functions_of("optimizers", "large_batch", "beyond").items()
    if first_arguments(f) == ["w", "g"]
}
SCHEDULES = {
    name: f for name, f in functions_of("schedules").items() if first_arguments(f)[:1] == ["t"]
}


PRINTED_RULES = [name for name in RULES if name not in NOT_PRINTED]


def run_in_node(code):
    done = subprocess.run(["node", "-"], input=code, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def call_in_node(functions, name, calls):
    """The values of `name(...)` for every list of arguments in `calls`."""
    text = program(functions)
    code = f"{text}\nconst calls = {json.dumps(calls)};"
    return run_in_node(
        code + f"\nconsole.log(JSON.stringify(calls.map(c => {name}(...c).map?.(Number) ?? 0)));"
    )


def loud_gradients(steps=300):
    rng = np.random.default_rng(0)
    g = rng.normal(size=(steps, 2)) * 10.0 ** rng.uniform(-8, 4, size=(steps, 2))
    g[rng.random((steps, 2)) < 0.05] = 0.0
    g[7] = 0.0  # a whole layer without a gradient
    return g


def hyperparameters(rule):
    names = inspect.signature(rule).parameters.values()
    keyword = {p.name: p.default for p in names if p.kind is p.KEYWORD_ONLY}
    return {name: LOUD.get(name, default) for name, default in keyword.items()}


def rates(steps):
    return [0.3 * 0.99**t * (1 + t % 3) for t in range(steps)]


def state_and_clock(rule):
    names = [
        p.name for p in inspect.signature(rule).parameters.values() if p.kind is not p.KEYWORD_ONLY
    ]
    return [n for n in names[2:] if n != "t"], "t" in names


def path_in_python(rule, gradients):
    names, clock = state_and_clock(rule)
    w, state, path = np.array([1.5, -2.5]), [np.zeros(2) for _ in names], []
    for t, (g, lr) in enumerate(zip(gradients, rates(len(gradients))), start=1):
        hyper = hyperparameters(rule) | {"lr": lr}
        w, *state = rule(w, g, *state, *([t] if clock else []), **hyper)
        path.append(np.concatenate([w, *state]))
    return np.array(path)


RACE = """
const run = (w, g, state, rest) => {
  if (LAYERWISE) return RULE(w, g, ...state, ...rest);
  const each = w.map((x, i) => RULE(x, g[i], ...state.map(s => s[i]), ...rest));
  return each[0].map((_, k) => each.map(one => one[k]));
};
let w = [1.5, -2.5], state = NAMES.map(() => [0, 0]);
const path = GRADIENTS.map((g, i) => {
  const rest = [...(CLOCK ? [i + 1] : []), {...HYPER, lr: RATES[i]}];
  [w, ...state] = run(w, g, state, rest);
  return [w, ...state].flat();
});
console.log(JSON.stringify(path));
"""


def path_in_javascript(rule, gradients, text=None):
    names, clock = state_and_clock(rule)
    words = {
        "LAYERWISE": layerwise(rule),
        "NAMES": names,
        "CLOCK": clock,
        "GRADIENTS": gradients.tolist(),
        "RATES": rates(len(gradients)),
        "HYPER": hyperparameters(rule),
    }
    values = "\n".join(f"const {k} = {json.dumps(v)};" for k, v in words.items())
    return np.array(
        run_in_node(f"{text or program([rule])}\nconst RULE = {rule.__name__};\n{values}{RACE}")
    )


@needs_node
@pytest.mark.parametrize("name", PRINTED_RULES)
def test_a_rule_walks_the_same_path_in_javascript(name):
    gradients = loud_gradients()
    mine, theirs = (
        path_in_javascript(RULES[name], gradients),
        path_in_python(RULES[name], gradients),
    )
    np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=0)


@needs_node
@pytest.mark.parametrize(
    "right, wrong",
    [
        ("(1 - beta1) * g", "(1 - beta2) * g"),
        ("v_hat ** 0.5 + eps", "(v_hat + eps) ** 0.5"),
        ("1 - beta1 ** t", "1 - beta1 ** (t + 1)"),
        ("lr * m_hat", "lr * m"),
    ],
)
def test_the_comparison_sees_a_wrong_rule(right, wrong):
    text = program([adam])
    assert right in text
    gradients = loud_gradients(20)
    mine = path_in_javascript(adam, gradients, text.replace(right, wrong))
    assert not np.allclose(mine, path_in_python(adam, gradients), rtol=1e-6, atol=0)


def schedule_arguments(schedule):
    """Arguments for every parameter but t; lengths and rates by their names' first letter."""
    given = {}
    for p in list(inspect.signature(schedule).parameters.values())[1:]:
        if p.default is not p.empty:
            given[p.name] = p.default
        elif p.name[0] == "T" or p.name.endswith(("steps", "every", "epochs")):
            given[p.name] = 3 + 4 * len(given)
        else:
            given[p.name] = 0.1 * (len(given) + 1)
    return given


@needs_node
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_gives_the_same_rates_in_javascript(name):
    schedule, given = SCHEDULES[name], schedule_arguments(SCHEDULES[name])

    def driver(t):
        return schedule(t, **given)

    times = list(range(60))
    expected = [driver(t) for t in times]
    names = inspect.signature(schedule).parameters.values()
    keyword = {p.name: given[p.name] for p in names if p.kind is p.KEYWORD_ONLY}
    rest = [v for k, v in given.items() if k not in keyword] + ([keyword] if keyword else [])
    code = f"{program([schedule])}\nconst rest = {json.dumps(rest)};"
    mine = run_in_node(f"{code}console.log(JSON.stringify({times}.map(t => {name}(t, ...rest))));")
    np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-18)


@needs_node
@pytest.mark.parametrize("name", LANDSCAPES)
def test_a_landscape_has_the_same_value_and_gradient_in_javascript(name):
    landscape = LANDSCAPES[name]
    points = np.random.default_rng(1).uniform(-5, 5, size=(200, 2))
    value, gradient = landscape.value, landscape.gradient
    code = f"{program([value, gradient])}\nconst points = {json.dumps(points.tolist())};"
    both = f"[{value.__name__}(x, y), ...{gradient.__name__}(x, y)]"
    mine = run_in_node(f"{code}console.log(JSON.stringify(points.map(([x, y]) => {both})));")
    theirs = [[value(x, y), *gradient(x, y)] for x, y in points]
    np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-13)


# -- the corners where the two languages differ


def signs(x, y):
    return -(x**2), (-x) ** 2, 2 ** (3**2), x - (y - 1), x / (y * 2), -x * y


def divisions(x, y):
    return x // y, x % y, x // 0.1, -x // y, x % -y


def choices(x, y):
    new = x if x > y >= 0 else (y if not x < 0 else -1.0)
    if (x > 0) & (y > 0) or x == y:
        new = new + min(x, y, 3) + abs(x)
    else:
        new += where(x > y, max(x, y), 7)
    return new, x, y


def loops(x, y):
    total, power = 0, 1
    for i in range(2, 7, 2):
        total += i * x
    while power < 100:
        power *= 3
    return total, i, power


def with_defaults(x, scale=2.0, *, shift=-1, flag=True):
    x = x * scale + shift if flag else x
    return (x, shift)


def caller(x, y):
    a, b = with_defaults(x, shift=y)
    c, d = with_defaults(y, 3, flag=False)
    return a, b, c, d


PAIRS = [[1.0, 0.1], [-7.0, 3.0], [7.5, -2.0], [0.3, 0.3], [0.0, 2.0], [-1e-3, -4.0], [5, 2]]


@needs_node
@pytest.mark.parametrize("f", [signs, divisions, choices, loops, caller])
def test_javascript_keeps_the_meaning_of_python(f):
    mine = call_in_node([f], f.__name__, PAIRS)
    np.testing.assert_allclose(mine, [f(x, y) for x, y in PAIRS], rtol=1e-15, atol=0)


def layer(w, g, *, lr=0.1):
    ratio = where((norm(w) > 0) & (norm(g) > 0), norm(w) / (norm(g) + 1e-3), 1.0)
    direction, other = with_defaults(g, shift=0.5)
    w = -(w - lr * ratio * direction**2) if ratio > 0.2 else w // 0.3 + abs(g) % 2
    return w, other + 0 * w


@needs_node
def test_a_layerwise_rule_works_on_vectors():
    assert layerwise(layer) and not layerwise(adam)
    calls = [[[1.0, -2.0], [3.0, 0.5]], [[0.0, 0.0], [1.0, -1.0]], [[0.1, -0.1], [9.0, 0.0]]]
    text = program([layer])
    code = f"{text}\nconsole.log(JSON.stringify({json.dumps(calls)}.map(c => layer(...c))));"
    expected = [layer(*map(np.array, call)) for call in calls]
    np.testing.assert_allclose(run_in_node(code), expected, rtol=1e-14)


# -- what cannot be printed says so


def comprehends(x):
    return [a for a in x]


def slices(x):
    return x[1:]


def calls_a_method(x):
    return x.mean()


def prints(x):
    print(x)
    return x


def is_true_for_numbers(x):
    return 1 if x else 2


def multiplies_a_matrix(x):
    return x @ x


def formats(x):
    return f"{x}"


def adds_tuples(x):
    return (x, x) + (x,)


def takes_many(*x):
    return x


def uses_a_string(x):
    return "x"


def deletes(x):
    del x
    return 1


@pytest.mark.parametrize(
    "f",
    [
        comprehends,
        slices,
        calls_a_method,
        prints,
        is_true_for_numbers,
        multiplies_a_matrix,
        formats,
        adds_tuples,
        takes_many,
        uses_a_string,
        deletes,
        *(RULES[name] for name in NOT_PRINTED if name in RULES),
    ],
)
def test_what_cannot_be_printed_names_its_line(f):
    with pytest.raises(CannotPrint, match=rf"\.py:\d+: {f.__name__}: ") as error:
        function(f)
    first = f.__code__.co_firstlineno
    line = int(str(error.value).split(".py:")[1].split(":")[0])
    assert first <= line <= first + 30


def test_a_printed_rule_reads_like_the_rule():
    text = function(adam)
    head = "function adam(w, g, m, v, t, {lr = 0.001, betas = [0.9, 0.999], eps = 1e-08} = {}) {"
    assert text.splitlines()[0] == head
    assert "  w = w - lr * m_hat / (v_hat ** 0.5 + eps);" in text
    assert text.splitlines()[-2:] == ["  return [w, m, v];", "}"]


def test_optlib_is_where_the_rules_are_found():
    assert {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lars", "lamb"} <= set(RULES)
    assert optlib.__doc__ and "cosine_annealing" in SCHEDULES
