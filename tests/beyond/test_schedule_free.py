"""Schedule-free: the paper's three sequences, the authors' form in two, and switching."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.beyond.schedule_free import (
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    schedule_free_adamw,
    schedule_free_sgd,
    warmup_and_share,
)
from optlib.engine import IMPLS

STEPS = 25


def problem(shape=(2, 3), seed=7):
    rng = np.random.default_rng(seed)
    gs = rng.standard_normal((STEPS, *shape)) * 10.0 ** rng.uniform(-3, 2, (STEPS, *shape))
    gs[2] = 0.0
    return rng.standard_normal(shape), gs


def as_the_authors_run_it(w, gs, *, lr, beta, weight_decay, warmup_steps, adam=None):
    """Their package's loop: y is changed in place and x is never stored, only recovered."""
    y, z, total, largest = w.copy(), w.copy(), 0.0, 0.0
    mean_square, path = np.zeros_like(w), []
    for k, g in enumerate(gs):
        rate = lr * (min(1.0, (k + 1) / warmup_steps) if warmup_steps else 1.0)
        largest = max(largest, rate)
        total += largest**2
        c = largest**2 / total
        if adam:
            beta2, eps = adam
            mean_square += (1 - beta2) * (g * g - mean_square)
            g = g / (np.sqrt(mean_square / (1 - beta2 ** (k + 1))) + eps)
        g = g + weight_decay * y
        y = y + c * (z - y) + rate * (beta * (1 - c) - 1) * g
        z = z - rate * g
        path.append((y, z + (y - z) / beta, z))
    return np.array(path)


def run(rule, w, gs, **hyper):
    values = [w] + [np.zeros_like(w)] * (3 if rule is schedule_free_adamw else 2)
    path = []
    for t, g in enumerate(gs, start=1):
        values = rule(values[0], g, *values[1:], t, **hyper)
        path.append((values[0], *values[-2:]))
    return np.array(path)


warmups = pytest.mark.parametrize("warmup_steps", [0, 1, 2, 7, 100])


@warmups
def test_sgd_equals_the_authors_form(warmup_steps):
    w, gs = problem()
    same = {"lr": 0.3, "beta": 0.8, "weight_decay": 0.1, "warmup_steps": warmup_steps}
    ours, theirs = run(schedule_free_sgd, w, gs, **same), as_the_authors_run_it(w, gs, **same)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11)


@warmups
def test_adamw_equals_the_authors_form(warmup_steps):
    w, gs = problem()
    same = {"lr": 0.3, "weight_decay": 0.1, "warmup_steps": warmup_steps}
    ours = run(schedule_free_adamw, w, gs, betas=(0.8, 0.95), eps=3e-3, **same)
    theirs = as_the_authors_run_it(w, gs, beta=0.8, adam=(0.95, 3e-3), **same)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_x_is_the_plain_average_of_z_and_w_lies_between():
    w, gs = problem()
    for y, x, z in [run(schedule_free_sgd, w, gs, lr=0.1, beta=0.7)[n] for n in (0, 4, STEPS - 1)]:
        np.testing.assert_allclose(y, 0.3 * z + 0.7 * x, rtol=1e-12, atol=1e-13)
    path = run(schedule_free_sgd, w, gs, lr=0.1, beta=0.7)
    np.testing.assert_allclose(path[-1, 1], path[:, 2].mean(axis=0), rtol=1e-11)


def test_beta_zero_is_polyak_averaged_sgd():
    w, gs = problem()
    path = run(schedule_free_sgd, w, gs, lr=0.1, beta=0.0)
    sgd = w - 0.1 * np.cumsum(gs, axis=0)
    np.testing.assert_allclose(path[:, 0], sgd, rtol=1e-11, atol=1e-12)
    averages = np.cumsum(sgd, axis=0) / np.arange(1, STEPS + 1).reshape(-1, 1, 1)
    np.testing.assert_allclose(path[:, 1], averages, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("warmup_steps", [0, 1, 5, 40])
def test_the_share_is_the_squared_rate_over_the_sum_of_squares(warmup_steps):
    rates = [0.3 * min(1.0, t / max(1, warmup_steps)) for t in range(1, 60)]
    for t, rate in enumerate(rates, start=1):
        expected = rate, rate**2 / sum(r * r for r in rates[:t])
        assert warmup_and_share(t, 0.3, warmup_steps) == pytest.approx(expected, rel=1e-12)
        tensor = warmup_and_share(torch.tensor(float(t)).double(), 0.3, warmup_steps)
        assert [float(x) for x in tensor] == pytest.approx(expected, rel=1e-12)


def test_the_average_needs_no_schedule_to_settle():
    rng = np.random.default_rng(0)
    w = x = z = np.full(2000, 5.0)
    for t in range(1, 401):
        w, x, z = schedule_free_sgd(w, w + rng.standard_normal(2000), x, z, t, lr=0.5)
    assert np.mean(x**2) < np.mean(z**2) / 5


numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
vectors = st.lists(st.tuples(*[numbers] * 5), min_size=1, max_size=6).map(
    lambda rows: np.array(rows).T
)


@given(vectors, st.integers(1, 20), st.randoms(use_true_random=False))
def test_the_same_in_any_order(values, t, random):
    order = list(range(values.shape[1]))
    random.shuffle(order)
    values[2] = np.abs(values[2])
    hyper = {"lr": 0.3, "weight_decay": 0.1, "warmup_steps": 5}
    new = np.array(schedule_free_adamw(*values, t, **hyper))
    np.testing.assert_array_equal(schedule_free_adamw(*values[:, order], t, **hyper), new[:, order])


CASES = [
    (ScheduleFreeSGD, schedule_free_sgd, {"lr": 0.3, "beta": 0.8}),
    (ScheduleFreeAdamW, schedule_free_adamw, {"lr": 0.3, "betas": (0.8, 0.95)}),
]
classes = pytest.mark.parametrize("cls, rule, hyper", CASES, ids=["sgd", "adamw"])


def train(optimizer, p, gs):
    for g in gs:
        p.grad = torch.tensor(g)
        optimizer.step()


@classes
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own
def test_class_runs_the_rule_and_switches_back_exactly(cls, rule, hyper, impl):
    w, gs = problem()
    hyper = {**hyper, "weight_decay": 0.1, "warmup_steps": 4}
    path = run(rule, w, gs, **hyper)
    p = torch.tensor(w, requires_grad=True)
    optimizer = cls([p], impl=impl, **hyper)
    optimizer.eval()
    np.testing.assert_array_equal(p.detach(), w)  # before the first step there is one point
    optimizer.train()
    for n in range(STEPS):
        train(optimizer, p, gs[n : n + 1])
        before = p.detach().clone()
        np.testing.assert_allclose(before, path[n, 0], rtol=1e-11, atol=1e-12)
        optimizer.eval()
        optimizer.eval()
        np.testing.assert_allclose(p.detach(), path[n, 1], rtol=1e-11, atol=1e-12)
        optimizer.train()
        optimizer.train()
        assert torch.equal(p.detach(), before)


@classes
def test_a_step_at_the_average_is_refused(cls, rule, hyper):
    w, gs = problem()
    p = torch.tensor(w, requires_grad=True)
    optimizer = cls([p], **hyper)
    train(optimizer, p, gs[:2])
    optimizer.eval()
    held = p.detach().clone()
    with pytest.raises(RuntimeError, match="train"):
        train(optimizer, p, gs[2:3])
    assert torch.equal(p.detach(), held)


@classes
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_saved_and_loaded_in_either_mode_it_goes_on(cls, rule, hyper, mode):
    w, gs = problem()
    path = run(rule, w, gs, **hyper)
    p = torch.tensor(w, requires_grad=True)
    optimizer = cls([p], **hyper)
    train(optimizer, p, gs[:9])
    getattr(optimizer, mode)()
    file = io.BytesIO()
    torch.save({"p": p.detach(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file)
    q = saved["p"].requires_grad_()
    other = cls([q], **hyper)
    other.load_state_dict(saved["optimizer"])
    other.train()
    train(other, q, gs[9:])
    np.testing.assert_allclose(q.detach(), path[-1, 0], rtol=1e-11, atol=1e-12)


@classes
def test_a_parameter_without_gradients_keeps_its_place(cls, rule, hyper):
    p, idle = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in "ab")
    optimizer = cls([p, idle], **hyper)
    train(optimizer, p, np.ones((3, 2)))
    optimizer.eval()
    optimizer.train()
    assert idle.tolist() == [1.0, 1.0]
    assert optimizer.state.get(idle) is None


def test_illegal_warmups_are_refused():
    for bad in (-1, 2.5):
        with pytest.raises(ValueError, match="warmup_steps"):
            ScheduleFreeSGD([torch.zeros(2, requires_grad=True)], warmup_steps=bad)
