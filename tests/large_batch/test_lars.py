"""LARS: printed numbers, a trajectory in 40-digit decimals, properties, and what others do."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.large_batch.lars import LARS, lars
from optlib.optimizers.momentum import momentum
from optlib.parameter_groups import norms_and_biases_apart

LOUD = {"beta": 0.83, "weight_decay": 0.17, "trust": 0.07}
LRS = [1.3, 1.3, 0.9, 0.9, 0.013, 0.013, 0.013, 2.1, 2.1, 2.1]


def problem(shape=(2, 3), seed=7):
    """Weights, and gradients over seven decades; the third is zero."""
    rng = np.random.default_rng(seed)
    gs = rng.standard_normal((len(LRS), *shape)) * 10.0 ** rng.uniform(-4, 3, (len(LRS), *shape))
    gs[2] = 0.0
    return rng.standard_normal(shape), gs


def in_decimals(w, gs, lrs, beta, weight_decay, trust):
    """The paper's Algorithm 1 on lists of 40-digit decimals, written without looking at optlib."""
    with localcontext() as context:
        context.prec = 40
        ws = [Decimal(float(x)) for x in np.ravel(w)]
        vs = [Decimal(0)] * len(ws)
        mu, wd, eta = Decimal(beta), Decimal(weight_decay), Decimal(trust)
        path = []
        for row, lr in zip(gs, lrs):
            ds = [Decimal(float(x)) for x in np.ravel(row)]
            length = sum(x * x for x in ws).sqrt()
            slope = sum(x * x for x in ds).sqrt()
            rate = eta * length / (slope + wd * length) if length and slope else Decimal(1)
            pull = [d + wd * x for d, x in zip(ds, ws)]
            vs = [mu * v + Decimal(lr) * rate * p for v, p in zip(vs, pull)]
            ws = [x - v for x, v in zip(ws, vs)]
            path.append([float(x) for x in ws])
        return np.reshape(path, np.shape(gs))


def run(w, gs, lrs, **hyper):
    v, path = np.zeros_like(w), []
    for g, lr in zip(gs, lrs):
        w, v = lars(w, g, v, lr=lr, **hyper)
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize(
    "weight_decay, local", [(0.0, 0.005), (1e-4, 0.00499750), (5e-4, 0.00498753)]
)
def test_printed_local_rate(weight_decay, local):
    w, g = np.array([3.0, 4.0]), np.array([0.6, 0.8])
    new, v = lars(w, g, np.zeros(2), lr=1.0, weight_decay=weight_decay, trust=0.001)
    np.testing.assert_allclose(v / (g + weight_decay * w), local, rtol=0, atol=5e-9)
    np.testing.assert_array_equal(new, w - v)


def test_trajectory_equals_the_papers_in_decimals():
    w, gs = problem()
    expected = in_decimals(w, gs, LRS, **LOUD)
    np.testing.assert_allclose(run(w, gs, LRS, **LOUD), expected, rtol=1e-11)


def test_class_runs_the_rule_layer_by_layer():
    layers = [problem((2, 3), seed=1), problem((4,), seed=2), problem((2, 2, 2), seed=3)]
    params = [torch.tensor(w, requires_grad=True) for w, _ in layers]
    optimizer = LARS(params, lr=1.0, **LOUD)
    for k, lr in enumerate(LRS):
        optimizer.param_groups[0]["lr"] = lr
        for p, (_, gs) in zip(params, layers):
            p.grad = torch.tensor(gs[k])
        optimizer.step()
    for p, (w, gs) in zip(params, layers):
        expected = in_decimals(w, gs, LRS, **LOUD)[-1]
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-11)


def test_two_layers_are_not_one():
    w, gs = problem((6,))
    apart = [run(w[part], gs[:1, part], [1.0], **LOUD) for part in (slice(3), slice(3, 6))]
    together = run(w, gs[:1], [1.0], **LOUD)
    assert not np.allclose(np.concatenate(apart, axis=1), together, rtol=1e-2)


@pytest.mark.parametrize("convert", [np.array, torch.tensor, lambda x: torch.tensor(x).float()])
def test_a_zero_norm_means_a_local_rate_of_one(convert):
    zero, w, g = convert([0.0, 0.0]), convert([3.0, 4.0]), convert([0.6, 0.8])
    new, v = lars(zero, g, zero, lr=0.5, weight_decay=0.1)
    assert [*v] == [*(0.5 * g)] and [*new] == [*(-v)]
    new, v = lars(w, zero, zero, lr=0.5, weight_decay=0.1)  # not trust / weight_decay
    assert [*v] == [*(0.5 * (zero + 0.1 * w))]
    new, v = lars(zero, zero, g, lr=0.5, beta=0.5, weight_decay=0.0)
    assert [*v] == [*(0.5 * g)]


def test_floats_run_and_are_as_zero_safe():
    assert lars(3.0, 0.0, 0.0, lr=1.0) == (3.0, 0.0)
    assert lars(0.0, 2.0, 0.0, lr=1.0) == (-2.0, 2.0)
    w, v = lars(-2.0, 0.5, 0.0, lr=1.0, trust=0.1)
    assert (w, v) == pytest.approx((-2.2, 0.2), rel=1e-15)


numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
vectors = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6).map(
    lambda rows: np.array(rows).T
)


@given(vectors, st.integers(-20, 20))
def test_without_decay_the_gradients_scale_does_not_matter(wgv, power):
    w, g, v = wgv
    scaled = lars(w, g * 2.0**power, v, lr=0.7)
    if np.linalg.norm(w) > 0:
        np.testing.assert_allclose(scaled, lars(w, g, v, lr=0.7), rtol=1e-12, atol=1e-12)


@given(vectors, st.integers(-20, 20))
def test_a_layer_in_other_units_takes_the_same_step_in_them(wgv, power):
    w, g, v = wgv
    k = 2.0**power
    if np.linalg.norm(w) > 0 and np.linalg.norm(g) > 0:
        scaled = lars(k * w, k * g, k * v, lr=0.7, weight_decay=0.3)
        expected = np.multiply(k, lars(w, g, v, lr=0.7, weight_decay=0.3))
        np.testing.assert_allclose(scaled, expected, rtol=1e-12)


@given(vectors, st.randoms(use_true_random=False))
def test_the_order_of_the_coordinates_does_not_matter(wgv, random):
    order = list(range(wgv.shape[1]))
    random.shuffle(order)
    new = np.array(lars(*wgv, lr=0.7, **LOUD))
    permuted = lars(*wgv[:, order], lr=0.7, **LOUD)
    np.testing.assert_allclose(permuted, new[:, order], rtol=1e-11, atol=1e-11)


@given(vectors)
def test_the_first_step_is_at_most_trust_times_the_weights_long(wgv):
    w, g, _ = wgv
    if np.linalg.norm(w) > 0 and np.linalg.norm(g) > 0:
        _, v = lars(w, g, np.zeros_like(w), lr=1.0, weight_decay=0.3, trust=0.01)
        assert np.linalg.norm(v) <= 0.01 * np.linalg.norm(w) * (1 + 1e-12)


def others_form(w, gs, lrs, *, form, beta, weight_decay, trust):
    """The forms of other libraries, restated from notes on their code."""
    v, path = None, []
    for g, lr in zip(gs, lrs):
        w_norm, g_norm = np.linalg.norm(w), np.linalg.norm(g)
        pull = g + weight_decay * w
        below = {
            "timm": g_norm + weight_decay * w_norm + 1e-8,
            "optax": np.linalg.norm(pull),
            "kozistr": g_norm,
        }[form]
        step = (trust * w_norm / below if w_norm and g_norm else 1.0) * pull
        if form == "optax":  # lr inside the velocity
            v = lr * step + (0 if v is None else beta * v)
            w = w - v
        else:  # lr outside; kozistr's buffer starts as a copy of the raw gradient
            start = g if form == "kozistr" else 0 * g
            v = beta * (start if v is None else v) + step
            w = w - lr * v
        path.append(w)
    return np.array(path)


def test_timm_agrees_at_a_constant_lr_but_for_its_eps():
    w, gs = problem()
    gs = gs[[0, 1, 3, 4]]
    ours, timm = run(w, gs, [0.9] * 4, **LOUD), others_form(w, gs, [0.9] * 4, form="timm", **LOUD)
    np.testing.assert_allclose(ours, timm, rtol=1e-7, atol=1e-8)
    assert abs(ours - timm).max() > 0


def test_timm_differs_when_the_lr_falls():
    w, gs = problem()
    lrs = [0.9, 0.9, 0.9, 0.009]
    ours, timm = run(w, gs, lrs, **LOUD), others_form(w, gs, lrs, form="timm", **LOUD)
    np.testing.assert_allclose(ours[2], timm[2], rtol=1e-7)
    assert not np.allclose(ours[3], timm[3], rtol=1e-2)


def test_optax_takes_the_norm_of_the_sum():
    w, gs = problem()
    gs = gs[[0, 1, 3, 4]]
    ours = run(w, gs, LRS[:4], **LOUD)
    optax = others_form(w, gs, LRS[:4], form="optax", **LOUD)
    assert not np.allclose(ours[0], optax[0], rtol=1e-6)
    same = {**LOUD, "weight_decay": 0.0}  # without decay there is nothing to sum
    np.testing.assert_allclose(
        run(w, gs, LRS[:4], **same), others_form(w, gs, LRS[:4], form="optax", **same), rtol=1e-12
    )


def test_kozistrs_first_step_is_hundreds_of_times_ours():
    w, g = np.array([3.0, 4.0]), np.array([6.0, 8.0])
    hyper = {"beta": 0.9, "weight_decay": 0.0, "trust": 0.001}
    theirs = others_form(w, [g], [1.0], form="kozistr", **hyper)[0] - w
    ours = run(w, [g], [1.0], **hyper)[0] - w
    assert np.linalg.norm(theirs) / np.linalg.norm(ours) > 800


def test_groups_that_do_not_adapt_take_momentum_with_l2_decay():
    w, gs = problem()
    p = torch.tensor(w, requires_grad=True)
    optimizer = LARS([{"params": [p], "adapt": False}], lr=0.3, beta=0.8, weight_decay=0.2)
    v = np.zeros_like(w)
    for g in gs:
        p.grad = torch.tensor(g)
        optimizer.step()
        w, v = momentum(w, g + 0.2 * w, v, lr=0.3, beta=0.8)
        np.testing.assert_allclose(p.detach().numpy(), w, rtol=1e-12)


def test_without_decay_we_still_adapt_where_timm_does_not():
    p = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    optimizer = LARS([p], lr=1.0, weight_decay=0.0)
    p.grad = torch.tensor([0.6, 0.8], dtype=torch.float64)
    optimizer.step()
    moved = p.detach() - torch.tensor([3.0, 4.0])
    assert float(moved.norm()) == pytest.approx(0.005, rel=1e-12)  # timm: 1.0, plain SGD


def test_a_zero_bias_jumps_unless_it_is_in_a_group_of_its_own():
    def first_moves(params):
        model = torch.nn.Linear(3, 2).double()
        torch.nn.init.zeros_(model.bias)
        optimizer = LARS(params(model), lr=1.0, weight_decay=0.1)
        old = [w.detach().clone() for w in model.parameters()]
        model(torch.ones(4, 3).double()).square().sum().backward()
        optimizer.step()
        return [
            float((w.detach() - o).norm() / w.grad.norm()) for w, o in zip(model.parameters(), old)
        ]

    torch.manual_seed(0)
    weight, bias = first_moves(lambda model: model.parameters())
    assert bias == pytest.approx(1.0) and weight < 0.01
    _, bias = first_moves(
        lambda model: [
            {**group, "lr": 0.01} if "adapt" in group else group
            for group in norms_and_biases_apart(model, adapt=False)
        ]
    )
    assert bias == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [{"trust": -1.0}, {"adapt": 1.5}, {"beta": 1.0}, {"lr": -0.1}])
def test_illegal_hyperparameters_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LARS([torch.zeros(2, requires_grad=True)], **bad)
