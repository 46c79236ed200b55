"""LAMB: printed numbers, a trajectory in 40-digit decimals, properties, and what others do."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.large_batch.lamb import LAMB, lamb
from optlib.optimizers.adam import adamw

LOUD = {"betas": (0.78, 0.953), "eps": 3e-3, "weight_decay": 0.17}
LRS = [0.1, 0.1, 0.07, 0.07, 0.0013, 0.0013, 0.0013, 0.2, 0.2, 0.2]


def problem(shape=(2, 3), seed=7):
    """Weights, and gradients over seven decades; the third is zero."""
    rng = np.random.default_rng(seed)
    gs = rng.standard_normal((len(LRS), *shape)) * 10.0 ** rng.uniform(-5, 2, (len(LRS), *shape))
    gs[2] = 0.0
    return rng.standard_normal(shape), gs


def in_decimals(w, gs, lrs, betas, eps, weight_decay):
    """The paper's Algorithm 2 on lists of 40-digit decimals, written without looking at optlib."""
    with localcontext() as context:
        context.prec = 40
        ws = [Decimal(float(x)) for x in np.ravel(w)]
        one, wd, tiny = Decimal(1), Decimal(weight_decay), Decimal(eps)
        b1, b2 = map(Decimal, betas)
        first, second = [Decimal(0)] * len(ws), [Decimal(0)] * len(ws)
        p1, p2 = one, one
        path = []
        for row, lr in zip(gs, lrs):
            ds = [Decimal(float(x)) for x in np.ravel(row)]
            p1, p2 = p1 * b1, p2 * b2
            first = [b1 * a + (one - b1) * d for a, d in zip(first, ds)]
            second = [b2 * a + (one - b2) * d * d for a, d in zip(second, ds)]
            u = [
                (a / (one - p1)) / ((b / (one - p2)).sqrt() + tiny) + wd * x
                for a, b, x in zip(first, second, ws)
            ]
            top, bottom = sum(x * x for x in ws).sqrt(), sum(x * x for x in u).sqrt()
            phi = top / bottom if top and bottom else one
            ws = [x - Decimal(lr) * phi * y for x, y in zip(ws, u)]
            path.append([float(x) for x in ws])
        return np.reshape(path, np.shape(gs))


def run(w, gs, lrs, **hyper):
    m = v = np.zeros_like(w)
    path = []
    for t, (g, lr) in enumerate(zip(gs, lrs), start=1):
        w, m, v = lamb(w, g, m, v, t, lr=lr, **hyper)
        path.append(w)
    return np.array(path)


def test_printed_ratio_and_update():
    w, g, z = np.array([3.0, 4.0]), np.array([0.6, 0.8]), np.zeros(2)
    new, m, v = lamb(w, g, z, z, 1, lr=1.0, eps=1e-6, weight_decay=0.01)
    np.testing.assert_allclose(w - new, [3.518412, 3.552573], rtol=0, atol=5e-7)
    np.testing.assert_allclose(np.linalg.norm(w - new), 5.0, rtol=1e-15)
    r = (w - new) / 3.415940
    np.testing.assert_allclose(r, [1.029998, 1.039999], rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(r), 1.463726, rtol=0, atol=1e-6)
    np.testing.assert_allclose([m, v], [0.1 * g, 0.001 * g * g], rtol=1e-12)


def test_trajectory_equals_the_papers_in_decimals():
    w, gs = problem()
    expected = in_decimals(w, gs, LRS, **LOUD)
    np.testing.assert_allclose(run(w, gs, LRS, **LOUD), expected, rtol=1e-11)


def test_class_runs_the_rule_layer_by_layer():
    layers = [problem((2, 3), seed=1), problem((4,), seed=2), problem((2, 2, 2), seed=3)]
    params = [torch.tensor(w, requires_grad=True) for w, _ in layers]
    optimizer = LAMB(params, lr=1.0, **LOUD)
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
    apart = [run(w[part], gs[:1, part], [0.1]) for part in (slice(3), slice(3, 6))]
    assert not np.allclose(np.concatenate(apart, axis=1), run(w, gs[:1], [0.1]), rtol=1e-2)


@pytest.mark.parametrize("convert", [np.array, torch.tensor])
def test_a_zero_norm_means_a_ratio_of_one(convert):
    zero, w, g = convert([0.0, 0.0]), convert([3.0, 4.0]), convert([2.0, -2.0])
    new, *_ = lamb(zero, g, zero, zero, 1, lr=0.5, eps=0.0, weight_decay=0.1)
    np.testing.assert_allclose(np.asarray(new), [-0.5, 0.5], rtol=1e-12)
    new, m, v = lamb(w, zero, zero, zero, 1, lr=0.5, weight_decay=0.0)
    assert [*new] == [*w] and [*m] == [*v] == [0.0, 0.0]
    new, *_ = lamb(w, zero, zero, zero, 1, lr=0.5, weight_decay=0.1)  # decay alone, adapted
    np.testing.assert_allclose(np.asarray(new), [1.5, 2.0], rtol=1e-12)


def test_floats_run_and_are_as_zero_safe():
    assert lamb(0.0, 0.0, 0.0, 0.0, 1) == (0.0, 0.0, 0.0)
    w, m, v = lamb(-4.0, 3.0, 0.0, 0.0, 1, lr=0.1, weight_decay=0.0)
    assert (w, m, v) == pytest.approx((-4.4, 0.3, 0.009), rel=1e-12)


numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
vectors = st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=6).map(
    lambda rows: np.array(rows).T
)


@given(vectors, st.integers(1, 50))
def test_an_adapted_step_is_lr_times_the_weights_long(wgmv, t):
    w, g, m, v = wgmv
    new, *_ = lamb(w, g, m, np.abs(v), t, lr=0.3, weight_decay=0.2)
    still, *_ = lamb(w, g, m, np.abs(v), t, lr=0.0, weight_decay=0.2)
    np.testing.assert_array_equal(still, w)
    if np.linalg.norm(w) > 0 and not np.array_equal(new, w):
        np.testing.assert_allclose(np.linalg.norm(w - new), 0.3 * np.linalg.norm(w), rtol=1e-9)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5), st.integers(-9, 9))
def test_without_eps_the_gradients_scale_does_not_matter(rows, power):
    w, g1, g2 = np.array(rows).T
    g1 = np.where(g1 == 0, 1.0, g1)  # eps = 0 allows no 0/0
    hyper = {"eps": 0.0, "weight_decay": 0.2, "betas": (0.8, 0.9)}
    paths = [run(w, [k * g1, k * g2], [0.1, 0.2], **hyper) for k in (1.0, 2.0**power)]
    np.testing.assert_allclose(*paths, rtol=1e-12)


@given(vectors, st.randoms(use_true_random=False))
def test_the_order_of_the_coordinates_does_not_matter(wgmv, random):
    wgmv[3] = np.abs(wgmv[3])
    order = list(range(wgmv.shape[1]))
    random.shuffle(order)
    new = np.array(lamb(*wgmv, 3, lr=0.7, **LOUD))
    permuted = lamb(*wgmv[:, order], 3, lr=0.7, **LOUD)
    np.testing.assert_allclose(permuted, new[:, order], rtol=1e-10, atol=1e-10)


def others_form(w, gs, lrs, *, form, betas, eps, weight_decay):
    """The forms of other libraries, restated from notes on their code."""
    beta1, beta2 = betas
    m = v = np.zeros_like(w)
    path = []
    for t, (g, lr) in enumerate(zip(gs, lrs), start=1):
        if form == "timm":  # and apex: all gradients to a global norm of at most 1, first
            g = g / max(1.0, np.linalg.norm(g))
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        c1, c2 = 1 - beta1**t, 1 - beta2**t
        if form in ("version 1", "DeepSpeed"):
            r = m / (np.sqrt(v) + eps)
        else:
            r = (m / c1) / (np.sqrt(v / c2) + eps)
        if form == "keras":
            w = w - lr * weight_decay * w
        else:
            r = r + weight_decay * w
        ratio = np.linalg.norm(w) / np.linalg.norm(r)
        if form == "clamp":
            ratio = min(np.linalg.norm(w), 10.0) / np.linalg.norm(r)
        if form == "DeepSpeed":
            ratio = min(max(ratio, 0.01), 10.0) * np.sqrt(c2) / c1
        w = w - lr * ratio * r
        path.append(w)
    return np.array(path)


QUIET = {"betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.1}


def compare(form, w, gs, **change):
    hyper = {**QUIET, **change}
    lrs = [0.01] * len(gs)
    return abs(run(w, gs, lrs, **hyper) - others_form(w, gs, lrs, form=form, **hyper))[-1].max()


def test_others_differ_where_the_docstring_says_and_agree_elsewhere():
    w, gs = problem()
    gs = gs[[0, 1, 3]]
    small = gs / 1e3  # no global norm above 1
    assert compare("apex unclipped", w, gs) < 1e-14
    assert compare("timm", w, small) < 1e-14 < 1e-4 < compare("timm", w, gs)
    assert compare("version 1", w, gs) > 1e-4
    assert compare("keras", w, gs) > 1e-4
    assert compare("keras", w, gs, weight_decay=0.0) < 1e-14
    assert compare("clamp", w, gs) < 1e-14 < 1e-2 < compare("clamp", 30 * w, gs)


def test_without_decay_and_eps_version_1_cannot_be_told_apart():
    w, gs = problem()
    gs = gs[[0, 1, 3]]
    assert compare("version 1", w, gs, weight_decay=0.0, eps=0.0) < 1e-14


def test_deepspeeds_first_step_is_a_third_of_ours():
    w, gs = problem()
    theirs = others_form(w, gs[:1], [0.01], form="DeepSpeed", **QUIET)[0] - w
    ours = run(w, gs[:1], [0.01], **QUIET)[0] - w
    assert np.linalg.norm(theirs) / np.linalg.norm(ours) == pytest.approx(0.316, abs=1e-3)


def test_groups_that_do_not_adapt_take_adamw():
    w, gs = problem()
    p = torch.tensor(w, requires_grad=True)
    optimizer = LAMB([{"params": [p], "adapt": False}], lr=0.1, **LOUD)
    m = v = np.zeros_like(w)
    for t, g in enumerate(gs, start=1):
        p.grad = torch.tensor(g)
        optimizer.step()
        w, m, v = adamw(w, g, m, v, t, lr=0.1, **LOUD)
        np.testing.assert_allclose(p.detach().numpy(), w, rtol=1e-11)


def test_without_decay_we_still_adapt_where_timm_and_apex_do_not():
    p = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    optimizer = LAMB([p], lr=0.1, weight_decay=0.0)
    p.grad = torch.tensor([0.6, -0.8], dtype=torch.float64)
    optimizer.step()
    moved = p.detach() - torch.tensor([3.0, 4.0])
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-12)  # theirs: 0.1414, Adam
