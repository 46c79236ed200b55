"""Right answers from outside: what the mutants of the rules without a torch twin are judged by.

    python tests/golden/generate.py

writes the `*.json` beside this file. Nothing here imports optlib, numpy or torch: optimizers and
rates are run from the papers' formulas in 60-digit decimals, on lists; criteria and counts in exact
fractions. Every file says how it was made (`how`), holds its inputs (floats, exact in JSON), and is
made again, digit for digit, by this program: `tests/test_mutants.py` checks that.
"""

import json
import math
import random
from decimal import Decimal, getcontext
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).parent
getcontext().prec = 60
D = Decimal
PI = D("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
RATES = [0.3, 0.3, 0.21, 0.21, 0.0039, 0.0039, 0.0039, 0.6, 0.6, 0.6, 0.05, 0.4]


def root(x):
    return x.sqrt()


def length(xs):
    return root(sum((x * x for x in xs), D(0)))


def some(luck, low, high):
    """A float of three digits between 10^low and 10^high; no libm is asked."""
    return float(f"{luck.choice('+-')}{luck.randint(100, 999)}e{luck.randint(low, high - 1) - 2}")


def problem(seed, shape, start=None, zero=(2,), orders=(-4, 3), silent=0):
    """Weights and gradients over seven decades; those of the steps in `zero` are 0.

    The first `silent` weights never have a gradient.
    """
    luck = random.Random(seed)
    size = math.prod(shape)
    w = [some(luck, -1, 1) for _ in range(size)] if start is None else [start] * size
    gs = [
        [0.0 if k in zero else some(luck, *orders) for _ in range(size)] for k in range(len(RATES))
    ]
    gs = [[0.0] * silent + g[silent:] for g in gs]
    return {"shape": shape, "start": w, "gradients": gs, "lrs": RATES}


def exact(case):
    """The decimals that a problem's floats stand for: weights, and (lr, gradients) of each step."""
    steps = [(D(lr), list(map(D, g))) for lr, g in zip(case["lrs"], case["gradients"])]
    return list(map(D, case["start"])), steps


# Optimizers. Each yields the weights after every step.


def lars(case, beta, weight_decay, trust):
    """You, Gitman & Ginsburg 2017, Algorithm 1; a local rate of 1 where a norm is 0."""
    w, steps = exact(case)
    beta, decay, trust = D(beta), D(weight_decay), D(trust)
    v = [D(0)] * len(w)
    for lr, g in steps:
        size, slope = length(w), length(g)
        rate = trust * size / (slope + decay * size) if size and slope else D(1)
        v = [beta * a + lr * rate * (b + decay * c) for a, b, c in zip(v, g, w)]
        w = [c - a for c, a in zip(w, v)]
        yield w


def momentum_with_l2(case, beta, weight_decay):
    w, steps = exact(case)
    v = [D(0)] * len(w)
    for lr, g in steps:
        v = [D(beta) * a + lr * (b + D(weight_decay) * c) for a, b, c in zip(v, g, w)]
        w = [c - a for c, a in zip(w, v)]
        yield w


def directions(steps, size, betas, eps):
    """Yield (lr, Adam's direction) of every step: Kingma & Ba 2015, Algorithm 1."""
    b1, b2 = map(D, betas)
    m, v, p1, p2 = [D(0)] * size, [D(0)] * size, D(1), D(1)
    for lr, g in steps:
        p1, p2 = p1 * b1, p2 * b2
        m = [b1 * a + (1 - b1) * x for a, x in zip(m, g)]
        v = [b2 * a + (1 - b2) * x * x for a, x in zip(v, g)]
        yield lr, [a / (1 - p1) / (root(b / (1 - p2)) + D(eps)) for a, b in zip(m, v)]


def lamb(case, betas, eps, weight_decay):
    """You et al. 2020 (arXiv version 5), Algorithm 2, with phi the identity."""
    w, steps = exact(case)
    for lr, u in directions(steps, len(w), betas, eps):
        u = [a + D(weight_decay) * x for a, x in zip(u, w)]
        size, slope = length(w), length(u)
        ratio = size / slope if size and slope else D(1)
        w = [x - lr * ratio * a for x, a in zip(w, u)]
        yield w


def adamw(case, betas, eps, weight_decay):
    """Loshchilov & Hutter 2019, Algorithm 2, the decay times lr."""
    w, steps = exact(case)
    for lr, u in directions(steps, len(w), betas, eps):
        w = [x - lr * (a + D(weight_decay) * x) for x, a in zip(w, u)]
        yield w


def lion(case, betas, weight_decay):
    """Chen et al. 2023, Algorithm 2. It needs no root: exact fractions."""
    w, m = list(map(Fraction, case["start"])), [Fraction(0)] * len(case["start"])
    b1, b2 = map(Fraction, betas)
    for lr, g in zip(map(Fraction, case["lrs"]), case["gradients"]):
        g = list(map(Fraction, g))
        mix = [b1 * a + (1 - b1) * x for a, x in zip(m, g)]
        up = [(c > 0) - (c < 0) for c in mix]
        w = [x - lr * (u + Fraction(weight_decay) * x) for x, u in zip(w, up)]
        m = [b2 * a + (1 - b2) * x for a, x in zip(m, g)]
        yield w


def product(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]


def quintic(rows, eps):
    """Jordan's five steps of a X + (b XX' + c (XX')^2) X, on a list of rows as it stands."""
    size = max(length([x for row in rows for x in row]), D(eps))
    x = [[y / size for y in row] for row in rows]
    for _ in range(5):
        gram = product(x, list(zip(*x)))
        once, twice = product(gram, x), product(product(gram, gram), x)
        x = [
            [D("3.4445") * p - D("4.7750") * q + D("2.0315") * r for p, q, r in zip(*lines)]
            for lines in zip(x, once, twice)
        ]
    return x


def muon(case, beta, weight_decay):
    """Jordan et al. 2024: Nesterov's momentum, made orthogonal; tall matrices step further."""
    w, steps = exact(case)
    rows = case["shape"][0]
    columns = len(w) // rows
    beta, m = D(beta), [D(0)] * len(w)
    for lr, g in steps:
        m = [beta * a + (1 - beta) * x for a, x in zip(m, g)]
        ahead = [beta * a + (1 - beta) * x for a, x in zip(m, g)]
        u = quintic([ahead[k * columns : (k + 1) * columns] for k in range(rows)], 1e-7)
        tall = root(D(max(rows, columns)) / D(columns))
        flat = [x for row in u for x in row]
        w = [x - lr * D(weight_decay) * x - lr * tall * a for x, a in zip(w, flat)]
        yield w


def schedule_free(case, beta, weight_decay, warmup_steps, adam=None):
    """Defazio et al. 2024, equations 3 to 5 and Algorithm 1: sums are kept, nothing is closed.

    Yields y, where gradients are taken, and the average x, one after the other. `adam` is
    (beta2, eps); the second moment is bias-corrected itself.
    """
    y, steps = exact(case)
    beta = D(beta)
    z, x, total, v = y, y, D(0), [D(0)] * len(y)
    for t, (_, g) in enumerate(steps, start=1):
        lr = D(case["lrs"][0]) * (min(D(t) / warmup_steps, D(1)) if warmup_steps else 1)
        total += lr * lr
        share = lr * lr / total
        if adam:
            beta2, eps = map(D, adam)
            v = [beta2 * a + (1 - beta2) * b * b for a, b in zip(v, g)]
            g = [b / (root(a / (1 - beta2**t)) + eps) for a, b in zip(v, g)]
        z = [c - lr * (b + D(weight_decay) * a) for a, b, c in zip(y, g, z)]
        x = [(1 - share) * a + share * c for a, c in zip(x, z)]
        y = [(1 - beta) * c + beta * a for a, c in zip(x, z)]
        yield y + x


def trajectories():
    """The problems by rule: general ones, and ones that lead into every special case."""
    layer = problem(1, [2, 3])
    still = problem(2, [2, 2], start=0.0, zero=(0, 1, 4))  # nothing at all, then gradients only
    tiny = problem(3, [2, 3], orders=(-13, -7))
    silent = problem(10, [4], silent=1)
    moving = problem(13, [4], zero=())
    large = {"betas": [0.78, 0.953], "eps": 3e-3, "weight_decay": 0.17}
    bare = {"betas": [0.9, 0.99], "eps": 1e-6, "weight_decay": 0.0}
    free = {"beta": 0.8, "weight_decay": 0.1}
    loud = {"beta": 0.83, "weight_decay": 0.17, "trust": 0.07}
    runs = {
        "lars": [(lars, case, loud) for case in (layer, still, tiny)]
        + [(lars, case, {**loud, "weight_decay": 0.0}) for case in (layer, still)]
        + [(lars, layer, {**loud, "beta": 0.0})],
        "momentum_with_l2": [
            (momentum_with_l2, layer, {"beta": 0.83, "weight_decay": 0.17}),
        ],
        "lamb": [(lamb, case, h) for case in (layer, still, tiny, silent) for h in (large, bare)]
        + [(lamb, problem(14, [4], zero=(0, 1, 5)), bare)]
        + [(lamb, moving, {"betas": [0.0, 0.0], "eps": 0.0, "weight_decay": 0.17})],
        "adamw": [(adamw, layer, large), (adamw, problem(9, [5]), large)],
        "lion": [
            (lion, case, {"betas": [0.78, 0.953], "weight_decay": 0.17})
            for case in (layer, still, problem(4, [7]))
        ],
        "muon": [
            (muon, problem(5 + k, shape, **more), {"beta": 0.8, "weight_decay": 0.3})
            for k, (shape, more) in enumerate(
                [
                    ([2, 3], {}),
                    ([5, 2], {}),
                    ([3, 2, 2], {}),
                    ([2, 2, 1], {"start": 0.0, "zero": (0, 1)}),
                    ([2, 2], {"orders": (-12, -6)}),
                    ([3, 2], {"orders": (-4, -1)}),
                    ([3, 2, 2], {"orders": (-4, -1)}),
                ]
            )
        ],
        "schedule_free_sgd": [
            (schedule_free, layer, {**free, "warmup_steps": n}) for n in (0, 1, 5, 40)
        ],
        "schedule_free_adamw": [
            (schedule_free, case, {**free, "warmup_steps": n, "adam": [0.95, 3e-3]})
            for case in (layer, still)
            for n in (0, 5)
        ],
    }
    for name, cases in runs.items():
        done = []
        for program, case, hyper in cases:
            path = [list(map(float, w)) for w in program(case, **hyper)]
            done.append({**case, "hyper": hyper, "weights": path})
        exactly = "exact fractions" if name == "lion" else "60-digit decimals"
        formula = (runs[name][0][0].__doc__ or "the rule's definition").splitlines()[0]
        yield f"steps_{name}", f"{formula} Computed in {exactly} by generate.py", done


# Schedules, each from the words of its paper: pieces with their ends, not our formula.


def cosine_of(x):
    """The Taylor series of the cosine, after the argument has been halved ten times."""
    x /= 1024
    term, total, n = D(1), D(1), 0
    while abs(term) > D("1e-65"):
        n += 2
        term *= -x * x / (n * (n - 1))
        total += term
    for _ in range(10):
        total = 2 * total * total - 1
    return total


def exponential_of(x):
    return D(x).exp()


def half_cosine(u, high, low):
    """From high at u = 0 to low at u = 1, and there ever after: high cos^2 + low sin^2."""
    u = min(max(u, D(0)), D(1))
    share = cosine_of(PI * u / 2) ** 2
    return high * share + low * (1 - share)


def line(u, high, low):
    u = min(max(u, D(0)), D(1))
    return high + u * (low - high)


def rise(t, steps, top):
    """Warmup: (t + 1) / steps of the top until step `steps`, never more than the top."""
    return top if t >= steps else min(top, top * (t + 1) / steps)


def restarts(t, first, times, high, low):
    """Loshchilov & Hutter 2017: lay the cycles end to end until t is inside one."""
    begin, span = D(0), D(first)
    while t >= begin + span:
        begin, span = begin + span, span * times
    return half_cosine((t - begin) / span, high, low)


def warm_then_cosine(t, warm, total, high, low):
    if t < warm:
        return rise(t, warm, high)
    return half_cosine((t - warm) / (total - warm), high, low)


def warm_stable_decay(t, warm, decay, total, high, low):
    if t < warm:
        return rise(t, warm, high)
    return line((t - (total - decay)) / D(decay), high, low)


def one_cycle(t, total, high, peak, div, final_div):
    start, top, end = high / div, peak * total - 1, total - 1
    if t <= top:
        return half_cosine(1 - t / top, high, start)
    return half_cosine((t - top) / (end - top), high, start / final_div)


def staircase(t, lr, factor, every):
    steps = 0
    while t >= every:
        t, steps = t - every, steps + 1
    return lr * factor**steps


def inverse_root(t, warm, high):
    step = t + 1
    return high * step / warm if step < warm else high * root(D(warm) / step)


def noam(t, width, warm):
    """Vaswani et al. 2017, equation 3; its step_num is t + 1."""
    step = t + 1
    return min(1 / root(step), step / (root(D(warm)) * warm)) / root(D(width))


def schedules():
    whole = list(range(0, 40))
    times = [*whole, 0.5, 2.5, 3.75, 6.25, 9.5, 13.25, 21.5, 30.75, 100, 20000.5]
    table = {
        "constant": (lambda t, lr: lr, [[0.7]]),
        "step_decay": (staircase, [[0.7, 0.3, 7], [0.7, 0.5, 2.5], [0.7, 1.0, 4]]),
        "exponential_decay": (
            lambda t, lr, k: lr * exponential_of(-k * t),
            [[0.7, 0.0625], [0.7, 0.0]],
        ),
        "linear_decay": (lambda t, T, a, b: line(t / T, a, b), [[11, 0.7, 0.2], [7.5, 0.7, 0.9]]),
        "cosine_annealing": (
            lambda t, T, a, b: half_cosine(t / T, a, b),
            [[11, 0.7, 0.2], [7.5, 0.7, 0.9]],
        ),
        "inverse_square_root": (inverse_root, [[10, 0.7], [0.5, 0.7]]),
        "noam": (noam, [[512, 12], [64, 3]]),
        "warm_restarts": (
            restarts,
            [[4, 2, 0.7, 0.2], [5, 1, 0.7, 0.2], [1, 3, 0.7, 0.2], [2.5, 2, 0.7, 0.2]],
        ),
        "linear_warmup": (rise, [[5, 0.7], [1, 0.7], [0, 0.7], [3.5, 0.7], [5, 9.0]]),
        "warmup_cosine": (
            warm_then_cosine,
            [[5, 20, 0.7, 0.2], [0, 12, 0.7, 0.2], [1, 12, 0.7, 0.2], [3.5, 12, 0.7, 0.2]],
        ),
        "warmup_stable_decay": (
            warm_stable_decay,
            [[5, 8, 30, 0.7, 0.2], [0, 12, 12, 0.7, 0.2]]
            + [[6, 9, 12, 0.7, 0.2], [3.5, 2, 9, 0.7, 0.2]],
        ),
        "one_cycle": (one_cycle, [[30, 0.7, 0.25, 20.0, 100.0], [10, 0.7, 0.5, 4.0, 10.0]]),
    }  # fmt: skip
    for name, (formula, choices) in table.items():
        cases = []
        for arguments in choices:
            rates = [float(formula(D(t), *map(D, arguments))) for t in times]
            cases.append({"arguments": arguments, "t": times, "rates": rates})
        yield (
            f"rates_{name}",
            "the schedule's definition, in 60-digit decimals by generate.py",
            cases,
        )


# Counts and criteria, in fractions.


def stopping():
    """Stop when the last `patience` losses have all failed to beat the best before them."""
    luck = random.Random(11)
    runs = [[8, 6, 5, 5, 4, 4.5, 5, 6, 7, 3, 3.5], [1, 1, 1, 1], [9, 8, 7, 6, 5]]
    runs += [[luck.randint(0, 24) / 4 for _ in range(30)] for _ in range(4)]
    cases = []
    for losses in runs:
        for patience in (1, 2, 3, 5):
            for min_delta in (0.0, 0.25, 1.0):
                said, bests, steps = [], [], []
                for n in range(1, len(losses) + 1):
                    kept = []  # the improvements so far
                    for k, loss in enumerate(losses[:n]):
                        if not kept or loss < losses[kept[-1]] - min_delta:
                            kept.append(k)
                    bests.append(losses[kept[-1]])
                    steps.append(kept[-1])
                    said.append(n - 1 - kept[-1] >= patience)
                cases.append(
                    {
                        "losses": losses,
                        "patience": patience,
                        "min_delta": min_delta,
                        "stop": said,
                        "best_loss": bests,
                        "best_step": steps,
                    }
                )
    yield (
        "early_stopping",
        "the definition, from all losses anew at every step, by generate.py",
        cases,
    )


def criteria():
    """Prechelt 1998: GL, P_k and PQ, in fractions of the floats."""
    luck = random.Random(12)
    cases = []
    for k in (1, 2, 5):
        for length_, spread in ((5, 64), (6, 64), (9, 64), (9, 100_000), (5, 0)):
            val = [1 + (luck.randint(0, 64) / spread if spread else -0.125) for _ in range(length_)]
            train = [1 + (luck.randint(0, 64) / spread if spread else 0) for _ in range(length_)]
            least = min(map(Fraction, val))
            loss = 100 * (Fraction(val[-1]) - least) / least
            last = list(map(Fraction, train[length_ - k :]))
            progress = 1000 * (sum(last) - k * min(last)) / (k * min(last))
            cases.append(
                {
                    "val": val,
                    "train": train,
                    "k": k,
                    "generalization_loss": float(loss),
                    "training_progress": float(progress),
                    "progress_quotient": float(loss / progress) if progress else None,
                }
            )
    yield "criteria", "Prechelt 1998's definitions in exact fractions, by generate.py", cases


def scaling():
    cases = []
    for lr, batch, base in ((0.1, 1024, 256), (0.3, 96, 384), (0.25, 640, 128)):
        k = Fraction(batch, base)
        cases.append(
            {
                "lr": lr,
                "batch_size": batch,
                "base": base,
                "linear": float(Fraction(lr) * k),
                "sqrt": float(D(lr) * root(D(batch) / D(base))),
            }
        )
    yield "scaling", "k = B / B0: lr k in fractions, lr sqrt(k) in decimals, by generate.py", cases

    cases = []
    for lr, batch, h, noise in ((0.3, 4, 1.0, 1.0), (0.5, 8, 2.5, 0.7), (1.75, 3, 0.5, 2.0)):
        a, s = (1 - Fraction(lr) * Fraction(h)) ** 2, Fraction(lr) ** 2 * Fraction(noise) / batch
        cases.append({"lr": lr, "batch": batch, "h": h, "noise": noise, "var": float(s / (1 - a))})
    yield "variance", "the fixed point of v -> (1 - lr h)^2 v + lr^2 s / B, by generate.py", cases

    cases = []
    luck = random.Random(13)
    for small, big in ((2, 32), (1, 3), (16, 64)):
        pairs = [[[luck.randint(-64, 64) / 32 for _ in range(3)] for _ in "sb"] for _ in range(4)]
        solved = []
        for g_small, g_big in pairs:  # |g_B|^2 = G + S / B, twice: two equations in G and S
            p, q = (sum(Fraction(x) ** 2 for x in g) for g in (g_small, g_big))
            trace = (p - q) / (Fraction(1, small) - Fraction(1, big))
            solved.append((p - trace / small, trace))
        mean = [sum(x) / len(solved) for x in zip(*solved)]
        cases.append(
            {
                "pairs": pairs,
                "small": small,
                "big": big,
                "estimates": [list(map(float, x)) for x in solved],
                "noise_scale": float(mean[1] / mean[0]),
            }
        )
    yield "noise_scale", "McCandlish et al. 2018, A.1, two equations solved in fractions", cases


def clipping():
    """Lengths that are whole numbers: exact."""
    cases = []
    for grads in ([[3.0, -4.0]], [[3.0, 4.0], [12.0]], [[0.0, 0.0]], [[-2.0, 3.0], [6.0, 0.0]]):
        for limit in (0.5, 2.5, 5.0, 7.0, 20.0):
            size = length([D(x) for g in grads for x in g])
            share = min(D(1), D(limit) / size) if size else D(1)
            cases.append(
                {
                    "grads": grads,
                    "limit": limit,
                    "norm": float(size),
                    "clipped": [[float(share * D(x)) for x in g] for g in grads],
                }
            )
    yield "clipping", "g if |g| <= c, else c g / |g|, in decimals, by generate.py", cases


def accumulation():
    """A mean over all examples: sums over all, one division."""
    luck = random.Random(14)
    cases = []
    for sizes in ([4, 4, 2, 1, 7], [1], [3, 3], [5, 0, 2]):
        examples = [[luck.randint(-64, 64) / 16 for _ in range(n)] for n in sizes]
        everything = [Fraction(x) for part in examples for x in part]
        mean = sum(everything) / len(everything)
        cases.append({"examples": examples, "mean": float(mean)})
    yield "accumulation", "the sum of all over their number, in fractions, by generate.py", cases


def files():
    """Yield (name, text) of every file."""
    for source in (trajectories, schedules, stopping, criteria, scaling, clipping, accumulation):
        for name, how, cases in source():
            text = json.dumps({"how": how, "cases": cases}, separators=(",", ":"))
            yield f"{name}.json", text.replace('{"', '\n{"') + "\n"


if __name__ == "__main__":
    for name, text in files():
        (HERE / name).write_text(text, encoding="utf-8")
