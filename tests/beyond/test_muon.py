"""Muon: torch's in float64, the quintic on singular values, and who takes which parameter."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optlib.beyond.muon import Muon, MuonWithAdamW, muon, muon_or_adamw, orthogonalize
from optlib.engine import IMPLS
from optlib.optimizers.adam import adamw
from optlib.parameter_groups import hidden_matrices_apart

SHAPES = [(4, 4), (3, 7), (7, 3), (1, 5), (5, 1)]


def matrix(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def quintic(s, steps=5):
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalize_is_the_quintic_on_the_singular_values(shape):
    u = matrix(shape)
    left, s, right = np.linalg.svd(u, full_matrices=False)
    expected = left @ np.diag(quintic(s / np.linalg.norm(u))) @ right
    np.testing.assert_allclose(orthogonalize(u), expected, rtol=1e-9, atol=1e-12)


def test_singular_values_end_near_one():
    s = quintic(np.geomspace(0.01, 1.0, 100_001))
    assert 0.68 < s.min() < 0.69 and 1.13 < s.max() < 1.14


def test_a_kernel_is_a_matrix_with_one_row_per_output():
    u = matrix((4, 3, 2, 2))
    np.testing.assert_array_equal(
        orthogonalize(u), orthogonalize(u.reshape(4, 12)).reshape(u.shape)
    )


def test_zero_stays_zero_and_tiny_is_divided_by_eps():
    np.testing.assert_array_equal(orthogonalize(np.zeros((3, 2))), 0.0)
    tiny = 1e-12 * matrix((3, 3))
    # 3.4445 ** 5 of tiny / eps: nearly linear down there
    np.testing.assert_allclose(orthogonalize(tiny), 3.4445**5 * tiny / 1e-7, rtol=1e-3)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.integers(-6, 20))
def test_rotations_pass_through_and_scale_does_not_matter(seed, shape, power):
    u = matrix(shape, seed)
    left, right = (np.linalg.qr(matrix((n, n), seed + 1))[0] for n in shape)
    np.testing.assert_allclose(
        orthogonalize(left @ u @ right), left @ orthogonalize(u) @ right, atol=1e-8
    )
    np.testing.assert_array_equal(orthogonalize(2.0**power * u), orthogonalize(u))


def race(ours, theirs, mine, twin, steps, rtol, atol):
    rng = np.random.default_rng(1)
    for k in range(steps):
        mine.param_groups[0]["lr"] = twin.param_groups[0]["lr"] = 0.1 if k < 5 else 0.003 * k
        for a, b in zip(ours, theirs):
            g = torch.tensor(rng.standard_normal(a.shape) * 10.0 ** rng.uniform(-3, 3))
            a.grad, b.grad = g, g.clone()
        if k == 3:
            ours[0].grad = theirs[0].grad = None
        mine.step()
        twin.step()
        for a, b in zip(ours, theirs):
            torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


def copies():
    return [[torch.tensor(matrix(s), requires_grad=True) for s in SHAPES] for _ in "ab"]


def test_equals_torch_at_every_step_once_torch_too_works_in_float64(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    ours, theirs = copies()
    mine = Muon(ours, beta=0.8, weight_decay=0.3)
    twin = torch.optim.Muon(theirs, momentum=0.8, weight_decay=0.3)
    race(ours, theirs, mine, twin, steps=20, rtol=1e-11, atol=1e-11)


def test_equals_torch_as_it_is_to_bfloat16():
    ours, theirs = copies()
    mine = Muon(ours, beta=0.8, weight_decay=0.3)
    twin = torch.optim.Muon(theirs, momentum=0.8, weight_decay=0.3)
    race(ours, theirs, mine, twin, steps=1, rtol=0, atol=0.1 * 0.04)  # lr times a few bf16 digits


def test_one_step_by_hand():
    # A diagonal gradient keeps its axes; the first look-ahead is a multiple of g, so scale is out.
    w, g = np.eye(2), np.diag([3.0, 4.0])
    new, m = muon(w, g, np.zeros((2, 2)), lr=0.1, beta=0.95, weight_decay=0.5)
    np.testing.assert_allclose(new, 0.95 * w - 0.1 * np.diag(quintic(np.array([0.6, 0.8]))))
    np.testing.assert_allclose(m, 0.05 * g)


def test_the_look_ahead_weighs_the_newest_gradient_again():
    g, m = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    new, memory = muon(np.zeros((2, 2)), g, m, lr=1.0, beta=0.75)
    ahead = 0.75 * memory + 0.25 * g
    np.testing.assert_allclose(memory, np.diag([0.25, 0.75]))
    np.testing.assert_allclose(new, -np.diag(quintic(np.diag(ahead) / np.linalg.norm(ahead))))


def test_a_tall_matrix_steps_further_by_the_root_of_its_shape():
    tall, wide = (muon(np.zeros(s), matrix(s), np.zeros(s), lr=1.0)[0] for s in ((8, 2), (2, 8)))
    np.testing.assert_allclose(tall, -2.0 * orthogonalize(matrix((8, 2))))
    np.testing.assert_allclose(wide, -orthogonalize(matrix((2, 8))))
    kernel, _ = muon(np.zeros((8, 1, 2, 1)), matrix((8, 1, 2, 1)), 0.0, lr=1.0)
    np.testing.assert_allclose(kernel, -2.0 * orthogonalize(matrix((8, 1, 2, 1))))


def test_muon_alone_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match=r"\(3,\).*MuonWithAdamW"):
        Muon([torch.zeros(2, 2, requires_grad=True), torch.zeros(3, requires_grad=True)])
    optimizer = Muon([torch.zeros(2, 2, requires_grad=True)])
    with pytest.raises(ValueError, match="matrices"):
        optimizer.add_param_group({"params": [torch.zeros((), requires_grad=True)]})
    assert len(optimizer.param_groups) == 1


def test_the_rest_falls_back_to_adamw():
    rng = np.random.default_rng(2)
    hyper = {"lr": 0.1, "beta": 0.8, "weight_decay": 0.3, "betas": (0.7, 0.9), "eps": 1e-3}
    adam_hyper = {name: hyper[name] for name in ("lr", "betas", "eps", "weight_decay")}
    muon_hyper = {name: hyper[name] for name in ("lr", "beta", "weight_decay")}
    for shape, options in [((3,), {}), ((), {}), ((3, 2), {"orthogonal": False})]:
        w, g, m, v = (np.abs(rng.standard_normal(shape)) for _ in range(4))
        ours = muon_or_adamw(w, g, m, v, 3, **hyper, **options)
        for a, b in zip(ours, adamw(w, g, m, v, 3, **adam_hyper), strict=True):
            np.testing.assert_array_equal(a, b)
    w, g, m, v = (np.abs(rng.standard_normal((3, 2))) for _ in range(4))
    ours = muon_or_adamw(w, g, m, v, 3, **hyper)
    for a, b in zip(ours, (*muon(w, g, m, **muon_hyper), v), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_optimizer_for_a_whole_model_equals_two():
    torch.manual_seed(0)

    def make():
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
        ).double()

    one, two = make(), make()
    groups = hidden_matrices_apart(one, head=one[2], lr=0.01, weight_decay=0.0)
    mixed = MuonWithAdamW(groups, lr=0.1, weight_decay=0.2)
    rest = [two[0].bias, two[2].weight, two[2].bias]
    pair = [
        Muon([two[0].weight], lr=0.1, weight_decay=0.2),
        torch.optim.AdamW(rest, lr=0.01, weight_decay=0.0),
    ]
    x = torch.randn(5, 3).double()
    for _ in range(10):
        for model, optimizers in ((one, [mixed]), (two, pair)):
            model.zero_grad()
            model(x).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    for a, b in zip(one.parameters(), two.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
    assert not mixed.state[one[0].weight]["v"].any()


def test_what_needs_the_matrix_refuses_the_flat_kernel():
    w = torch.zeros(2, 2, requires_grad=True)
    for cls in Muon, MuonWithAdamW:
        with pytest.raises(ValueError, match="eager"):
            cls([w], impl="compile")
    MuonWithAdamW([{"params": [w], "orthogonal": False}], impl=IMPLS[-1])
