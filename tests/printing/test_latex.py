"""The printed equation: word for word for the lesson's rules, and refused where it would lie.

That every change of a rule shows in its equation is in `test_mutants.py`.
"""

import ast
import linecache
import re

import pytest

from optlib import backend
from optlib.catalogue import CATALOGUE
from optlib.optimizers.adam import adam, adamw
from optlib.optimizers.momentum import momentum, nesterov
from optlib.optimizers.rmsprop import rmsprop
from optlib.optimizers.sgd import sgd
from optlib.printing.latex import equation
from optlib.regularization.batchnorm import batch_norm, layer_norm, moments, normalize
from optlib.regularization.penalties import l1_penalty, l2_penalty
from optlib.schedules.cosine import cosine_annealing

MOMENTS = [
    r"m_t &= \beta_1 \, m_{t-1} + (1 - \beta_1) \, g_t",
    r"v_t &= \beta_2 \, v_{t-1} + (1 - \beta_2) \, g_t^2",
    r"\hat m_t &= \frac{m_t}{1 - \beta_1^t}",
    r"\hat v_t &= \frac{v_t}{1 - \beta_2^t}",
]
STEP = r"\frac{\eta \, \hat m_t}{\sqrt{\hat v_t} + \epsilon}"
GOLDEN = {
    sgd: [r"w_t &= w_{t-1} - \eta \, g_t"],
    momentum: [
        r"v_t &= \beta \, v_{t-1} + \eta \, g_t",
        r"w_t &= w_{t-1} - v_t",
    ],
    nesterov: [
        r"v_t &= \beta \, v_{t-1} + \eta \, g_t",
        r"w_t &= w_{t-1} - \beta \, v_t - \eta \, g_t",
    ],
    rmsprop: [
        r"s_t &= \beta \, s_{t-1} + (1 - \beta) \, g_t^2",
        r"w_t &= w_{t-1} - \frac{\eta \, g_t}{\sqrt{s_t} + \epsilon}",
    ],
    adam: [*MOMENTS, rf"w_t &= w_{{t-1}} - {STEP}"],
    adamw: [*MOMENTS, rf"w_t &= w_{{t-1}} - \eta \, \lambda \, w_{{t-1}} - {STEP}"],
    cosine_annealing: [
        r"\eta_t &= \eta_{\min} + \frac{\eta_{\max} - \eta_{\min}}{2} \, "
        r"\left(1 + \cos\left(\frac{\min(t, T) \, \pi}{T}\right)\right)"
    ],
    l2_penalty: [
        r"\operatorname{l2\ penalty}(w, \lambda) &= "
        r"\left(\lambda \sum_i w_i^2,\; 2 \, \lambda \, w\right)"
    ],
    l1_penalty: [
        r"\operatorname{l1\ penalty}(w, \lambda) &= "
        r"\left(\lambda \sum_i \lvert w_i \rvert,\; \lambda \, \operatorname{sign}(w)\right)"
    ],
    normalize: [
        r"\hat x &= \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}",
        r"\operatorname{normalize}(x, \mu, \sigma^2, \gamma, \beta, \epsilon) &= "
        r"\gamma \, \hat x + \beta",
    ],
    moments: [
        r"\mu &= \frac{1}{n} \sum_i x_i",
        r"\operatorname{moments}(x) &= "
        r"\left(\mu,\; \frac{1}{n} \sum_i (x_i - \mu)^2\right)",
    ],
    batch_norm: [
        r"n &= \operatorname{len}(x)",
        r"\mu &= \frac{1}{n} \sum_i x_i",
        r"\sigma^2 &= \frac{1}{n} \sum_i (x_i - \mu)^2",
        r"y &= \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
        r"\operatorname{batch\ norm}(x, \gamma, \beta, \mu_{\mathrm{run}}, "
        r"\sigma^2_{\mathrm{run}}, \mathrm{momentum}, \epsilon) &= \left(y,\; "
        r"(1 - \mathrm{momentum}) \, \mu_{\mathrm{run}} + \mathrm{momentum} \, \mu,\; "
        r"(1 - \mathrm{momentum}) \, \sigma^2_{\mathrm{run}} + "
        r"\frac{\mathrm{momentum} \, \sigma^2 \, n}{n - 1}\right)",
    ],
    layer_norm: [
        r"\mu &= \frac{1}{d} \sum_j x_j",
        r"\sigma^2 &= \frac{1}{d} \sum_j (x_j - \mu)^2",
        r"\hat x &= \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}",
        r"\operatorname{layer\ norm}(x, \gamma, \beta, \epsilon) &= "
        r"\gamma \, \hat x + \beta",
    ],
}
# Rules of the catalogue without an equation, and what their line is that has none.
REFUSED = {
    "warmup": "lambda",
    "dropout": "rng.random",
    "batch_norm_backward": "x.mean(0)",  # over another array than the first argument
    "EarlyStopping": "class",
    "generalization_loss": "val[-1]",
    "training_progress": "train[-k:]",
    "progress_quotient": "val[-1]",
    "clip_by_global_norm": "list(grads)",
    "smooth_labels": "q.shape[-1]",
    "smoothed_cross_entropy": "if torch",
    "scaled_lr": "RULES[rule]",
    "stationary_variance": "if lr",
    "gradient_and_noise": "np.sum",
    "noise_scale": "for",
    "accumulated_gradient": "grad_fn",
    "accumulate_and_step": "for",
    "token_weighted_gradient": "list(microbatches)",
    "muon": "if u.ndim",
    "muon_or_adamw": "if orthogonal",
}


def lines(text):
    body = text.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
    return body.split(" \\\\\n")


def define(code, **names):
    """Return the last function of `code`, with its source where `inspect` looks for it."""
    filename = f"<rule {hash(code)}>"
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    namespace = {"__name__": "a_rule", **names}
    exec(compile(code, filename, "exec"), namespace)
    return namespace[ast.parse(code).body[-1].name]


def step(*body, arguments="w, g, m, t, *, lr=0.1, beta=0.9", result="w, m", **names):
    """Return the lines printed for a step with this body."""
    code = "\n    ".join([f"def rule({arguments}):", *body, f"return {result}\n"])
    return lines(equation(define(code, **names)))


def formula(expression):
    """Return what is printed for one expression in a, b, c, d and t."""
    code = f"def f(t, a, b, c, d):\n    return {expression}\n"
    return equation(define(code)).splitlines()[1].split("&= ", 1)[1]


@pytest.mark.parametrize("rule", GOLDEN, ids=lambda rule: rule.__name__)
def test_golden(rule):
    assert lines(equation(rule)) == GOLDEN[rule]


@pytest.mark.parametrize("rule", [row.rule for row in CATALOGUE], ids=lambda rule: rule.__name__)
def test_every_rule_is_printed_or_refused_by_line(rule):
    try:
        text = equation(rule)
    except ValueError as error:
        assert re.search(r"\w+, line \d+: cannot print .*: ", str(error))
        assert REFUSED[rule.__name__] in str(error).partition(": cannot print")[2]
    else:
        assert rule.__name__ not in REFUSED
        assert text.count("{") == text.count("}")
        assert text.count(r"\left") == text.count(r"\right")
        assert "_value" not in text.lower()


@pytest.mark.parametrize(
    "expression, latex",
    [
        ("a - (b - c)", "a - (b - c)"),
        ("a - (b + c)", "a - (b + c)"),
        ("a - b - c", "a - b - c"),
        ("a + (b + c)", "a + b + c"),
        ("a + -b", "a + (-b)"),
        ("-(a + b)", "-(a + b)"),
        ("-a * b", r"-a \, b"),
        ("a * -b", r"a \, (-b)"),
        ("(a + b) * c", r"(a + b) \, c"),
        ("2 * 3 * a", r"2 \cdot 3 \, a"),
        ("a / (b / c)", r"\frac{a}{\frac{b}{c}}"),
        ("(a / b) ** 2", r"\left(\frac{a}{b}\right)^2"),
        ("a * b ** 2", r"a \, b^2"),
        ("(a * b) ** 2", r"(a \, b)^2"),
        ("-a ** 2", "-a^2"),
        ("(-a) ** 2", "(-a)^2"),
        ("(a ** b) ** c", "(a^b)^c"),
        ("a ** b ** c", "a^{b^c}"),
        ("a ** (b + 1)", "a^{b + 1}"),
        ("a ** 0.5", r"\sqrt{a}"),
        ("a ** -0.5", r"\frac{1}{\sqrt{a}}"),
        ("a // b", r"\left\lfloor \frac{a}{b} \right\rfloor"),
        ("a % b + c", r"(a \bmod b) + c"),
        ("1e-8 * a", r"10^{-8} \, a"),
        ("2.5e-05", r"2.5 \cdot 10^{-5}"),
        ("1.0 + a", "1 + a"),
        ("abs(a - b)", r"\lvert a - b \rvert"),
        ("max(a, b) * c", r"\max(a, b) \, c"),
        ("a if b < c else d", r"\begin{cases} a & \text{if } b < c \\ d & \text{otherwise} \end{cases}"),  # noqa: E501
        ("a if b >= c and a != d else 0", r"\begin{cases} a & \text{if } b \ge c \text{ and } a \ne d \\ 0 & \text{otherwise} \end{cases}"),  # noqa: E501
        ("a * (b if c > 0 else d)", r"a \, \left(\begin{cases} b & \text{if } c > 0 \\ d & \text{otherwise} \end{cases}\right)"),  # noqa: E501
    ],
)  # fmt: skip
def test_brackets_where_the_mathematics_needs_them(expression, latex):
    assert formula(expression) == latex


def test_backend_functions():
    body = [
        "size = norm(w)",
        "ratio = where((size > 0) & (norm(g) > 0), size / norm(g), 1.0)",
        "w = w - lr * ratio * sign(m)",
    ]
    names = {name: getattr(backend, name) for name in ("norm", "sign", "where")}
    assert step(*body, **names) == [
        r"\phi_t &= \begin{cases} \frac{\lVert w_{t-1} \rVert}{\lVert g_t \rVert} & \text{if } "
        r"\lVert w_{t-1} \rVert > 0 \text{ and } \lVert g_t \rVert > 0 \\ "
        r"1 & \text{otherwise} \end{cases}",
        r"w_t &= w_{t-1} - \eta \, \phi_t \, \operatorname{sign}(m_{t-1})",
        r"m_t &= m_{t-1}",
    ]


def test_a_value_read_once_goes_into_its_reader():
    assert step("g = g + beta * w", "m = m + g", "w = w - lr * m") == [
        r"m_t &= m_{t-1} + g_t + \beta \, w_{t-1}",
        r"w_t &= w_{t-1} - \eta \, m_t",
    ]


def test_a_value_read_twice_gets_a_tilde():
    assert step("g = g + w", "m = m + g * g", "w = w - lr * m") == [
        r"\tilde g_t &= g_t + w_{t-1}",
        r"m_t &= m_{t-1} + \tilde g_t \, \tilde g_t",
        r"w_t &= w_{t-1} - \eta \, m_t",
    ]


def test_the_old_weight_stays_the_old_weight():
    assert step("old = w", "w = w - lr * g", "m = w - old") == [
        r"\mathrm{old}_t &= w_{t-1}",
        r"w_t &= w_{t-1} - \eta \, g_t",
        r"m_t &= w_t - \mathrm{old}_t",
    ]


def test_results_are_named_by_their_place():
    assert step("m = beta * m + g", result="w - lr * m, m") == [
        r"m_t &= \beta \, m_{t-1} + g_t",
        r"w_t &= w_{t-1} - \eta \, m_t",
    ]
    assert step("m = beta * m + g", "w = w - lr * m", result="m, w") == [
        r"\tilde m_t &= \beta \, m_{t-1} + g_t",
        r"w_t &= \tilde m_t",
        r"m_t &= w_{t-1} - \eta \, \tilde m_t",
    ]


def test_a_called_rule_is_printed_in_place_of_the_call():
    called = "return adam(w, g + l2 * w, m, v, t, lr=lr, betas=(0.8, 0.99), eps=eps)\n"
    code = f"def rule(w, g, m, v, t, *, lr=1, l2=0.1, eps=0):\n    {called}"
    assert lines(equation(define(code, adam=adam))) == [
        r"\tilde g_t &= g_t + \lambda \, w_{t-1}",
        r"m_t &= 0.8 \, m_{t-1} + (1 - 0.8) \, \tilde g_t",
        r"v_t &= 0.99 \, v_{t-1} + (1 - 0.99) \, \tilde g_t^2",
        r"\hat m_t &= \frac{m_t}{1 - 0.8^t}",
        r"\hat v_t &= \frac{v_t}{1 - 0.99^t}",
        rf"w_t &= w_{{t-1}} - {STEP}",
    ]


def test_a_called_schedule_is_printed_with_its_arguments():
    code = "def late(t, T, lr_max):\n    return cosine_annealing(t - 3, 2 * T, lr_max)\n"
    assert lines(equation(define(code, cosine_annealing=cosine_annealing))) == [
        r"\eta_t &= 0 + \frac{\eta_{\max} - 0}{2} \, "
        r"\left(1 + \cos\left(\frac{\min(t - 3, 2 \, T) \, \pi}{2 \, T}\right)\right)"
    ]


def test_a_recursion_is_printed_under_its_own_name():
    code = "def again(t, T):\n    return t if t < T else again(t - T, 2 * T)\n"
    assert lines(equation(define(code))) == [
        r"\operatorname{again}(t, T) &= \begin{cases} t & \text{if } t < T \\ "
        r"\operatorname{again}(t - T, 2 \, T) & \text{otherwise} \end{cases}"
    ]


@pytest.mark.parametrize(
    "body",
    [
        ["if beta > 0:", "    m = g"],
        ["for _ in range(3):", "    m = m * m"],
        ["m += g"],
        ["m[0] = g"],
        ["m = g.std()"],
        ["m = g.mean(1)"],
        ["m = g.mean(axis=0)"],
        ["m = (g * beta).sum()"],
        ["m = g.sum(-1)[..., 0]"],
        ["if lr > 0: m = g"],
        ["if training: m = g"],
        ["m = unknown(g)"],
        ["m = unknown"],
        ["m = [x for x in g]"],
        ["m = g[0]"],
        ["m = not g"],
        ["m = True"],
        ["m = 'text'"],
        ["m = max(g, key=abs)"],
        ["m = abs(*g)"],
        ["a, b = g"],
        ["m = v = g"],
        ["print(m)"],
    ],
    ids=lambda body: body[0],
)
def test_refuses_by_line_what_it_cannot_print(body):
    with pytest.raises(ValueError, match=r"rule, line 2: cannot print .*: " + re.escape(body[0])):
        step(*body)


def test_sums_and_means_index_what_has_elements():
    assert step("m = (2 * (g - w) ** 2).sum()") == [
        r"m_t &= \sum_i 2 \, (g_{t,i} - w_{t-1,i})^2",
        r"w_t &= w_{t-1}",
    ]
    assert step("m = beta * (g - g.mean()).sum(-1)", result="w - m, m") == [
        r"m_t &= \beta \sum_j \left(g_{t,j} - \left(\frac{1}{n} \sum_i g_{t,i}\right)\right)",
        r"w_t &= w_{t-1} - m_t",
    ]
    code = "def f(x):\n    c = x - x.mean()\n    return (c * c).sum() * (x - 1).mean() + x\n"
    assert lines(equation(define(code))) == [
        r"c &= x - \left(\frac{1}{n} \sum_i x_i\right)",
        r"\operatorname{f}(x) &= \left(\sum_i c_i \, c_i\right) \frac{1}{n} \sum_i (x_i - 1) + x",
    ]


def test_a_value_named_like_a_count_is_refused():
    with pytest.raises(ValueError, match="n would print as the n that a mean counts to"):
        equation(define("def f(x, n):\n    return x.mean() * n\n"))


def test_passes_over_what_only_raises_and_prints_what_trains():
    code = """
def f(x, a, training=True):
    if a < 0:
        raise ValueError
    if not training:
        return x
    y = x.sum() if hasattr(x, "sum") else x
    return (a if training else 0) * y
"""
    assert lines(equation(define(code))) == [
        r"y &= \sum_i x_i",
        r"\operatorname{f}(x, a) &= a \, y",
    ]
    with pytest.raises(ValueError, match="cannot print a branch: if training:"):
        equation(define(code.replace("if not training", "if training")))
    with pytest.raises(ValueError, match="neither an argument nor a number"):
        equation(define(code.replace("* y", "* training")))
    with pytest.raises(ValueError, match="cannot print"):
        equation(define(code.replace("training=True", "training=False")))


def test_refuses_a_function_that_only_shares_a_known_name():
    with pytest.raises(ValueError, match="a call of this function"):
        step("m = cos(g)", cos=type("Cosine", (), {})())


def test_refuses_two_values_with_one_symbol():
    with pytest.raises(ValueError, match="would both print as"):
        step("ratio = g + 1", "local = g - 1", "w = ratio * local")


DRAWN = [rule for rule in GOLDEN if rule is not l1_penalty]  # its bars, \lvert, are unknown there


@pytest.mark.parametrize("rule", DRAWN, ids=lambda rule: rule.__name__)
def test_matplotlib_can_draw_every_line(rule):
    mathtext = pytest.importorskip("matplotlib.mathtext")
    for line in lines(equation(rule)):
        mathtext.MathTextParser("path").parse(f"${line.replace('&', '')}$")
