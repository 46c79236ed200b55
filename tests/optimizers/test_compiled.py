"""impl="compile" is the eager engine, faster: equal at every step, and nothing is compiled twice.

The optimizers are driven with changing numbers and gradients that come and go, over shapes of every
kind: alone and gathered, contiguous and not, empty, of one element, large.
"""

import copy
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from optlib import compiled
from optlib.beyond.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from optlib.catalogue import CATALOGUE
from optlib.large_batch.lamb import LAMB
from optlib.large_batch.lars import LARS
from optlib.optimizers.adam import Adam, AdamW
from optlib.optimizers.sgd import SGD

ROOT = Path(__file__).parents[2]
CLASSES = [row.optimizer for row in CATALOGUE if row.optimizer and row.needs != "matrix"]
CASES = [(cls, {}) for cls in CLASSES] + [(cls, {"adapt": False}) for cls in (LARS, LAMB)]
each_case = pytest.mark.parametrize(
    "cls, fixed", CASES, ids=[c.__name__ + str(f) for c, f in CASES]
)
each_class = pytest.mark.parametrize("cls", CLASSES, ids=[cls.__name__ for cls in CLASSES])
LOUD = {
    "lr": 0.013, "beta": 0.8, "betas": (0.7, 0.95), "eps": 1e-4, "weight_decay": 0.1,
    "trust": 0.05, "warmup_steps": 3,
}  # fmt: skip
BIG = compiled.SMALL + 5


def tensors(dtype=torch.float32, seed=0):
    """Parameters of every kind."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator).to(dtype)  # noqa: E731
    return [
        draw(), draw(1), draw(0, 3), draw(3, 4), draw(4, 3).t(), draw(12), draw(7), draw(7),
        draw(7),
        draw(2, 3, 4, 4).to(memory_format=torch.channels_last),
        draw(BIG), draw(16, 8, 17, 17).to(memory_format=torch.channels_last),
        draw(300, 2 * 130)[:, ::2], draw(2, BIG)[1],
    ]  # fmt: skip


def grad(w, k, i):
    """A gradient for `w` at step k: now and then none, or zeros, or of another layout."""
    if (k + i) % 7 == 3:
        return None
    if (k + i) % 5 == 2:
        return torch.zeros_like(w)
    g = torch.cos(3 * w.detach() + k + i)
    return g.contiguous() if k % 2 else g


class Pair:
    """One optimizer on two sets of equal parameters: eager and compiled."""

    def __init__(self, cls, dtype=torch.float32, make=tensors, **hyper):
        loud = {name: LOUD[name] for name in cls.hyper if name in LOUD} | hyper
        self.cls, self.params, self.optimizers, self.k = cls, [], [], 0
        for impl in ("eager", "compile"):
            params = [w.detach().requires_grad_() for w in make(dtype)]
            third = len(params) // 3
            groups = [{"params": params[:third]}, {"params": params[third:], "lr": 0.007}]
            self.params.append(params)
            self.optimizers.append(cls(groups, impl=impl, **loud))

    def step(self):
        """One step of both, at new numbers; gradients are taken where the eager one is."""
        self.k += 1
        for params in self.params:
            for i, w in enumerate(params):
                g = grad(self.params[0][i], self.k, i)
                w.grad = None if g is None else g.clone()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= 0.9
                if "weight_decay" in group:
                    group["weight_decay"] = 0.1 / self.k
                if "betas" in group:
                    group["betas"] = (0.7 - 0.01 * self.k, 0.95 - 0.002 * self.k)
        kept = [None if w.grad is None else w.grad.clone() for w in self.params[1]]
        self.optimizers[1].step()
        self.optimizers[0].step()
        for w, g in zip(self.params[1], kept):
            assert (w.grad is None and g is None) or torch.equal(w.grad, g)

    def check(self, rtol):
        for a, b in zip(*self.params):
            assert_near(b, a, rtol)
            one, two = (o.state[w] for o, w in zip(self.optimizers, (a, b)))
            assert one.keys() == two.keys() and one.get("t") == two.get("t")
            for name in one.keys() - {"t"}:
                assert_near(two[name], one[name], rtol)


def assert_near(found, expected, rtol):
    """Against the largest value: a sum that nearly vanishes has the error of its terms."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    scale = expected.detach().abs().max().item() if expected.numel() else 0
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * scale)


@each_case
@pytest.mark.parametrize("dtype, rtol", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_compiled_is_eager(cls, fixed, dtype, rtol):
    if cls in (LARS, LAMB):
        rtol *= 10  # a norm sums tens of thousands of squares, in another order
    pair = Pair(cls, dtype, **fixed)
    for _ in range(21):
        pair.step()
        pair.check(rtol)


def test_a_step_is_a_change_that_autograd_sees():
    w, small, other = (torch.ones(n, requires_grad=True) for n in (BIG, 3, 3))
    loss = sum(x.square().sum() for x in (w, small, other))
    for x in (w, small, other):
        x.grad = torch.ones_like(x)
    before = [x._version for x in (w, small, other)]
    SGD([w, small, other], impl="compile").step()
    assert all(x._version > version for x, version in zip((w, small, other), before))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("cls", [SGD, AdamW, LAMB])
def test_bfloat16_is_near(cls):
    pair = Pair(cls, torch.bfloat16)
    for _ in range(5):
        pair.step()
    pair.check(0.05)


def compilations():
    return counters["stats"]["unique_graphs"]


@each_class
def test_nothing_is_compiled_again_when_numbers_or_shapes_change(cls):
    pair = Pair(cls)
    for _ in range(8):  # all sets of gradients
        pair.step()
    before = compilations()
    for _ in range(15):
        pair.step()
    many = [torch.randn(n % 40 + 2, n % 7 + 2) for n in range(300)] + [torch.randn(BIG + 1)]
    more = Pair(cls, make=lambda dtype: [w.clone() for w in many])
    more.step()
    more.check(1e-5)
    assert compilations() == before


def test_the_compilations_are_few():
    """A rule of norms has most: vectors and tables, of one, of up to 4096, of more elements."""
    torch._dynamo.reset()
    compiled._kernel.cache_clear()
    before = compilations()
    pair = Pair(LAMB)
    for _ in range(8):
        pair.step()
    assert compilations() - before <= 6


@each_class
def test_a_state_moves_between_the_engines(cls):
    one, two = Pair(cls, torch.float64), Pair(cls, torch.float64)
    for _ in range(4):
        one.step()
        two.step()
    saved = [io.BytesIO(), io.BytesIO()]
    for file, optimizer in zip(saved, one.optimizers):
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
    for file, optimizer, impl in zip(reversed(saved), one.optimizers, ("eager", "compile")):
        optimizer.load_state_dict(torch.load(file, weights_only=True))
        for group in optimizer.param_groups:
            group["impl"] = impl
    for _ in range(4):
        one.step()
        two.step()
        one.check(1e-12)
    for a, b in zip(one.params[1], two.params[0]):
        assert_near(a, b, 1e-12)


@each_class
def test_copies_go_on_alike(cls):
    pair = Pair(cls, torch.float64)
    for _ in range(3):
        pair.step()
    eager, optimizer = pair.optimizers
    for reborn in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        twin = Pair(cls, torch.float64)
        twin.k = pair.k
        first = copy.deepcopy(eager)
        twin.optimizers = [first, reborn]
        twin.params = [
            [w for group in o.param_groups for w in group["params"]] for o in twin.optimizers
        ]
        for _ in range(3):
            twin.step()
            twin.check(1e-12)
    pair.step()  # the original is its own
    pair.check(1e-12)


def test_a_pickle_holds_each_state_once():
    params = [torch.ones(100, requires_grad=True) for _ in range(50)]
    for w in params:
        w.grad = torch.ones(100)
    sizes = []
    for impl in ("eager", "compile"):
        optimizer = AdamW(params, impl=impl)
        optimizer.step()
        sizes.append(len(pickle.dumps(optimizer)))
    assert sizes[1] < 1.1 * sizes[0]


@pytest.mark.parametrize("cls", [SGD, Adam, LAMB])
def test_what_others_do_to_the_weights_counts(cls):
    pair = Pair(cls, torch.float64)
    for _ in range(6):
        pair.step()
        for params in pair.params:
            with torch.no_grad():
                for w in params:
                    w.clamp_(-0.9, 0.9)
            params[3].data = params[3].data * 0.5
            params[6].data.add_(1)
        pair.check(1e-12)
    assert all(w.abs().max() <= 2 for w in pair.params[1] if w.numel())


def test_the_state_that_others_replace_counts():
    pair = Pair(Adam, torch.float64)
    pair.step()
    for optimizer in pair.optimizers:
        for state in optimizer.state.values():
            state["m"] = torch.full_like(state["m"], 0.25)
    for _ in range(3):
        pair.step()
        pair.check(1e-12)


def test_closures_hooks_and_empty_steps():
    w = torch.ones(3, requires_grad=True)
    optimizer = Adam([w], impl="compile")
    assert optimizer.step() is None and not optimizer.state
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))

    def closure():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert calls == ["post"] and optimizer.state[w]["t"] == 1


@each_class
def test_an_illegal_value_moves_nothing(cls):
    a, b = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = cls([{"params": [a]}, {"params": [b]}], impl="compile")
    a.grad, b.grad = torch.ones(3), torch.ones(3)
    optimizer.param_groups[1]["lr"] = float("nan")
    with pytest.raises(ValueError, match="lr is nan"):
        optimizer.step()
    assert torch.equal(a, torch.ones(3)) and not optimizer.state


def test_torchs_schedulers_drive_it():
    pair = Pair(AdamW, torch.float64)
    schedulers = [
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9) for optimizer in pair.optimizers
    ]
    for _ in range(6):
        pair.step()
        for scheduler in schedulers:
            scheduler.step()
        pair.check(1e-12)


def test_a_schedule_free_optimizer_changes_its_mode():
    for cls in (ScheduleFreeSGD, ScheduleFreeAdamW):
        pair = Pair(cls, torch.float64)
        for _ in range(4):
            pair.step()
            for optimizer in pair.optimizers:
                optimizer.eval()
            pair.check(1e-12)
            for optimizer in pair.optimizers:
                optimizer.train()


WITHOUT_A_COMPILER = """
import warnings
import torch
from optlib.large_batch.lamb import LAMB
from optlib.optimizers.adam import AdamW

paths = []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for impl in ("eager", "compile"):
        params = [torch.linspace(-1, 1, n, requires_grad=True) for n in (5, 7, 7, 40_000)]
        optimizers = [AdamW(params, impl=impl), LAMB(params, impl=impl)]
        for k in range(3):
            for w in params:
                w.grad = torch.cos(w.detach() + k)
            for optimizer in optimizers:
                optimizer.step()
        paths.append(params)
ours = [str(w.message) for w in caught if "uncompiled" in str(w.message)]
assert len(ours) == 1, ours
for a, b in zip(*paths):
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
print(ours[0])
"""


def test_without_a_compiler_there_is_one_warning_and_the_same_result(tmp_path):
    environment = os.environ | {"CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_COMPILER],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.startswith('impl="compile" runs uncompiled: ')


def test_a_rule_that_takes_another_path_is_refused():
    run = compiled.Kernel(
        lambda w, g, t, *, lr: (w - lr * g if t == 1 else w - lr * g * 2,),
        0, (1,), {"lr": 0.1}, lambda: torch.zeros(64),
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="takes another path"):
        run.numbers((2,), {"lr": 0.1}, torch.zeros(1))


def test_what_an_optimizer_may_do_to_every_element_alike():
    def of(rule, states, **hyper):
        return compiled.is_elementwise(rule, states, (), hyper)

    assert of(lambda w, g, *, lr: (torch.where(w > 0, w, g * lr),), 0, lr=0.1)
    assert not of(lambda w, g, *, lr: (w / torch.linalg.vector_norm(w),), 0, lr=0.1)
    assert not of(lambda w, g, *, lr: (w @ g,), 0, lr=0.1)
    assert not of(lambda w, g, *, lr: (w - g.mean(),), 0, lr=0.1)


def test_a_division_by_a_number_is_a_product_with_its_inverse():
    def rule(w, g, *, lr):
        return (w / lr - 2 / w + g / w,)

    assert compiled.numbers_met(rule, 0, (), {"lr": 4.0}) == [0.25, 2]
    assert compiled.numbers_met(rule, 0, (), {"lr": 0.0})[0] == float("inf")
    graph = compiled.graph_of(rule, 0, (), {"lr": 4.0})
    w, g = torch.tensor([2.0]), torch.tensor([3.0])
    graph(w, g, torch.tensor([0.25, 2.0]))
    assert w.item() == 2 / 4 - 2 / 2 + 3 / 2
