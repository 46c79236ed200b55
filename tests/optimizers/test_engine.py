"""The shell around a rule behaves as torch's own optimizers do.

The inputs are torch's: `OptimizerInfo`, its schedulers and its error inputs. What is asked of them
are the questions of torch's TestOptimRenewed and of timm's optimizer tests, in our own words.
"""

import copy
import inspect
import io
import pickle

import pytest
import torch
from torch.testing._internal import common_optimizers as theirs

from optlib.catalogue import CATALOGUE
from optlib.engine import Optimizer
from optlib.optimizers.adam import Adam, AdamW
from optlib.optimizers.momentum import Momentum
from optlib.optimizers.sgd import SGD

CLASSES = [row.optimizer for row in CATALOGUE if row.optimizer and row.needs is None]
LOUD = {
    "lr": 0.013,
    "beta": 0.8,
    "betas": (0.7, 0.95),
    "eps": 1e-4,
    "weight_decay": 0.1,
    "trust": 0.05,
}


def inputs_of(cls, device=None, dtype=None):
    """Return the constructor arguments to test with: the defaults, then each one changed."""
    changed = [{name: LOUD[name]} for name in cls.hyper if name in LOUD]
    tensor_lr = [{"lr": torch.tensor(0.01)}]
    return [
        theirs.OptimizerInput(params=None, kwargs=kwargs, desc=str(kwargs))
        for kwargs in [{}, *changed, *tensor_lr]
    ]


def errors_of(cls):
    return [
        *theirs.get_error_inputs_for_all_optims("cpu", torch.float32),
        *(
            theirs.ErrorOptimizerInput(
                theirs.OptimizerInput(params=None, kwargs={name: value}, desc=f"{name} {value}"),
                error_type=ValueError,
                error_regex=f"{name} is .*legal: ",
            )
            for name, values in ILLEGAL.items()
            if name in cls.hyper
            for value in values
        ),
        *(
            theirs.ErrorOptimizerInput(
                theirs.OptimizerInput(params=None, kwargs={name: True}, desc=name),
                error_type=TypeError,
                error_regex=f"{cls.__name__} has no {name}; it has lr, .*impl",
            )
            for name in ("maximize", "foreach", "capturable", "fused", "differentiable")
        ),
        theirs.ErrorOptimizerInput(
            theirs.OptimizerInput(params=None, kwargs={"impl": "fast"}, desc="impl"),
            error_type=ValueError,
            error_regex="impl is 'fast'; legal: 'eager'",
        ),
    ]


NAN = float("nan")
ILLEGAL = {
    "lr": [-0.1, NAN, float("inf"), "fast", None, torch.tensor(-1.0), torch.tensor(NAN)],
    "beta": [1.0, -0.1, NAN, 1.5],
    "betas": [(1.0, 0.0), (0.9, -0.1), (0.9,), (0.9, 0.9, 0.9), 0.9, (0.9, NAN), (0.9, None)],
    "eps": [-1e-8, NAN],
    "weight_decay": [-1, NAN],
    "trust": [-1, NAN],
    "adapt": ["no", None],
}

INFOS = [
    theirs.OptimizerInfo(
        cls,
        optim_inputs_func=lambda device, dtype=None, cls=cls: inputs_of(cls),
        optim_error_inputs_func=lambda device, dtype, cls=cls: errors_of(cls),
        supported_impls=(),
        supports_complex=False,
    )
    for cls in CLASSES
]
each_info = pytest.mark.parametrize("info", INFOS, ids=[info.name for info in INFOS])
each_class = pytest.mark.parametrize("cls", CLASSES, ids=[cls.__name__ for cls in CLASSES])
each_case = pytest.mark.parametrize(
    "cls, kwargs",
    [(info.optim_cls, x.kwargs) for info in INFOS for x in info.optim_inputs_func("cpu")],
    ids=lambda value: getattr(value, "__name__", str(value)),
)


class Problem:
    """A weight and a bias that should make `weight @ x + bias` zero."""

    def __init__(self, seed=0, dtype=torch.float32, layout=lambda x: x, shape=(10, 5)):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *s: torch.randn(*s, generator=generator)  # noqa: E731
        self.weight = layout(draw(*shape)).to(dtype).requires_grad_()
        self.bias = draw(shape[0]).to(dtype).requires_grad_()
        self.x = draw(shape[1]).to(dtype)
        self.params = [self.weight, self.bias]

    def loss(self):
        return (self.weight.mv(self.x) + self.bias).pow(2).sum()

    def closure(self, optimizer):
        def recompute():
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return recompute


def run(problem, optimizer, steps):
    for _ in range(steps):
        optimizer.step(problem.closure(optimizer))


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.params, b.params))


# torch's and timm's questions.


@each_info
def test_torchs_error_inputs(info):
    sample = torch.nn.Parameter(torch.ones(2))
    for case in info.optim_error_inputs_func("cpu", torch.float32):
        given = case.optimizer_error_input
        params = [sample] if given.params is None else given.params
        expected = pytest.warns if issubclass(case.error_type, Warning) else pytest.raises
        with expected(case.error_type, match=case.error_regex):
            info.optim_cls(params, **given.kwargs)
        assert torch.equal(sample, torch.ones(2))


@each_case
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_goes_the_right_direction(cls, kwargs, layout):
    problem = Problem(layout=(lambda x: x) if layout == "contiguous" else strided)
    optimizer = cls(problem.params, **kwargs)
    assert cls.__name__ in repr(optimizer)
    before = problem.loss().item()
    run(problem, optimizer, 100)
    assert problem.loss().item() < before


def strided(x):
    return torch.stack([x, x], -1)[..., 0]


@pytest.mark.parametrize("info", INFOS, ids=[info.name for info in INFOS])
def test_goes_the_right_direction_with_torchs_schedulers(info):
    more = [
        lambda opt: torch.optim.lr_scheduler.LinearLR(opt, 0.4, total_iters=4),
        lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=50),
        lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, lambda t: 1 / (1 + t)),
        lambda opt: torch.optim.lr_scheduler.OneCycleLR(
            opt, 0.01, total_steps=60, cycle_momentum="betas" in opt.defaults
        ),
    ]
    for make in [*info.scheduler_inputs[0], *more]:
        problem = Problem()
        optimizer = info.optim_cls(problem.params, lr=1e-3)
        scheduler = make(optimizer)
        before = problem.loss().item()
        for _ in range(50):
            loss = optimizer.step(problem.closure(optimizer))
            plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            scheduler.step(loss.item()) if plateau else scheduler.step()
        assert problem.loss().item() < before


VALLEY_LR = {"SGD": 1e-4, "Momentum": 1e-4, "Nesterov": 1e-4}
VALLEY_LR |= {"Adagrad": 0.5, "LARS": 1.0, "LAMB": 0.01}


@each_class
def test_comes_nearer_in_the_rosenbrock_valley(cls):
    """The gradient comes one coordinate at a time; the other is exactly zero."""
    w = torch.tensor([1.5, 1.5], requires_grad=True)
    optimizer = cls([w], lr=VALLEY_LR.get(cls.__name__, 0.05))
    before = torch.dist(w.detach(), torch.ones(2))
    for k in range(2000):
        x, y = w.detach()
        slope = -400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)
        w.grad = torch.zeros(2)
        w.grad[k % 2] = slope[k % 2]
        optimizer.step()
    assert torch.dist(w.detach(), torch.ones(2)) <= before


@each_case
def test_state_dict_round_trip_goes_on_alike(cls, kwargs):
    one, two = Problem(), Problem()
    first = cls(one.params, **kwargs)
    run(one, first, 7)
    with torch.no_grad():
        for a, b in zip(two.params, one.params):
            a.copy_(b)
    second = cls(two.params, **kwargs)
    saved = copy.deepcopy(first.state_dict())
    second.load_state_dict(saved)
    for _ in range(7):
        run(one, first, 1)
        run(two, second, 1)
        assert equal(one, two)
    assert str(first.state_dict()) == str(second.state_dict())
    second.param_groups.extend(second.param_groups)
    assert first.state_dict()["param_groups"][-1] == second.state_dict()["param_groups"][-1]


@each_class
def test_state_dict_goes_through_a_file_of_weights_only(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    run(problem, optimizer, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert str(loaded) == str(optimizer.state_dict())
    copied = cls(problem.params, lr=0.5)
    copied.load_state_dict(loaded)
    assert copied.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@each_class
def test_an_older_state_dict_gets_the_defaults(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    run(problem, optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        del group["impl"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["impl"] == "eager"
    run(problem, optimizer, 1)


@each_class
def test_state_dict_with_the_groups_keys_in_another_order(cls):
    problem = Problem()
    optimizer = cls([{"lr": 0.01, "params": problem.params}])
    run(problem, optimizer, 2)
    saved = optimizer.state_dict()
    saved["param_groups"] = [dict(reversed(g.items())) for g in saved["param_groups"]]
    optimizer.load_state_dict(saved)
    run(problem, optimizer, 1)


@each_class
def test_an_illegal_value_in_a_state_dict_is_found_before_a_step(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    run(problem, optimizer, 1)
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = NAN
    optimizer.load_state_dict(saved)
    kept = [w.detach().clone() for w in problem.params]
    with pytest.raises(ValueError, match="lr is nan"):
        optimizer.step()
    assert all(torch.equal(w, k) for w, k in zip(problem.params, kept))


def public(optimizer):
    return {name for name in vars(optimizer) if not name.startswith("_")}


@each_class
def test_deepcopy_and_pickle_go_on_alike(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    run(problem, optimizer, 3)
    copies = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    run(problem, optimizer, 2)
    for reborn in copies:
        assert public(reborn) == public(optimizer)
        twin = Problem()
        twin.weight, twin.bias = twin.params = reborn.param_groups[0]["params"]
        run(twin, reborn, 2)
        assert equal(twin, problem)
        assert str(reborn.state_dict()) == str(optimizer.state_dict())


@each_class
def test_hooks_are_called(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    calls = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("pre"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("post"))
    optimizer.register_state_dict_post_hook(lambda o, state: calls.append("saved"))
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    run(problem, optimizer, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    assert calls == ["pre", "post", "saved", "loaded"]


@each_class
def test_the_lr_of_a_group_is_its_own(cls):
    problem = Problem()
    optimizer = cls([{"params": [problem.weight]}, {"params": [problem.bias], "lr": 0.0}], lr=0.01)
    weight, bias = (w.detach().clone() for w in problem.params)
    run(problem, optimizer, 3)
    assert not torch.equal(problem.weight, weight)
    assert torch.equal(problem.bias, bias)


@pytest.mark.parametrize("cls", [c for c in CLASSES if "weight_decay" in c.hyper])
def test_the_weight_decay_of_a_group_is_its_own(cls):
    a, b = (torch.tensor([1.0, 2.0, -3.0], requires_grad=True) for _ in range(2))
    groups = [{"params": [a]}, {"params": [b], "weight_decay": 0.5}]
    optimizer = cls(groups, lr=0.1, weight_decay=0.0)
    a.grad, b.grad = torch.full((3,), 1e-6), torch.full((3,), 1e-6)
    optimizer.step()
    assert not torch.equal(a, b)


@each_class
def test_without_gradients_nothing_happens(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    kept = [w.detach().clone() for w in problem.params]
    assert optimizer.step() is None
    assert all(torch.equal(w, k) for w, k in zip(problem.params, kept))
    assert len(optimizer.state) == 0


@each_class
def test_zero_gradients_are_a_step(cls):
    w = torch.ones(3, requires_grad=True)
    optimizer = cls([w], lr=0.1)
    w.grad = torch.ones(3)
    optimizer.step()
    after_one = w.detach().clone()
    w.grad = torch.zeros(3)
    optimizer.step()
    if cls.counts_steps:
        assert optimizer.state[w]["t"] == 2
    moves = {"v", "m"} & set(cls.state_names)
    assert torch.equal(w, after_one) != bool(moves)


@each_class
def test_a_closure_is_called_once_with_gradients_on(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        return problem.closure(optimizer)()

    expected = problem.loss().item()
    with torch.no_grad():
        assert optimizer.step(closure).item() == expected
    assert calls == [True]


@each_class
def test_the_state_has_the_rules_letters_and_is_not_empty(cls):
    problem = Problem()
    optimizer = cls(problem.params)
    run(problem, optimizer, 3)
    arguments = inspect.signature(cls.rule).parameters.values()
    letters = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD][2:]
    for w in problem.params:
        state = optimizer.state[w]
        assert sorted(state) == sorted(letters)
        if "t" in letters:
            assert type(state["t"]) is int and state["t"] == 3
        assert all(state[x].shape == w.shape for x in letters if x != "t")


# Ours.


@each_class
def test_gradients_are_never_modified(cls):
    problem = Problem()
    optimizer = cls(problem.params, **{k: LOUD[k] for k in cls.hyper if k in LOUD})
    problem.loss().backward()
    kept = [w.grad.clone() for w in problem.params]
    pointers = [w.grad.data_ptr() for w in problem.params]
    for _ in range(3):
        optimizer.step()
    assert all(torch.equal(w.grad, g) for w, g in zip(problem.params, kept))
    assert [w.grad.data_ptr() for w in problem.params] == pointers


@each_class
def test_the_lr_may_be_a_tensor_of_one_element(cls):
    problems = [Problem(dtype=torch.float64) for _ in range(3)]
    for problem, lr in zip(problems, (0.5, torch.tensor(0.5), torch.tensor([0.5]))):
        optimizer = cls(problem.params, lr=lr)
        run(problem, optimizer, 3)
    assert equal(problems[0], problems[1]) and equal(problems[0], problems[2])


@each_class
def test_a_numpy_number_as_lr_leaks_no_dtype(cls):
    import numpy as np

    problem = Problem()
    optimizer = cls(problem.params, lr=np.float64(0.01))
    run(problem, optimizer, 2)
    assert problem.weight.dtype == torch.float32


@each_class
def test_an_illegal_value_raises_before_any_parameter_moves(cls):
    problem = Problem()
    groups = [{"params": [problem.weight]}, {"params": [problem.bias]}]
    optimizer = cls(groups)
    problem.loss().backward()
    kept = [w.detach().clone() for w in problem.params]
    for name, values in ILLEGAL.items():
        if name not in cls.hyper:
            continue
        for value in values:
            legal, optimizer.param_groups[1][name] = optimizer.param_groups[1][name], value
            with pytest.raises(ValueError, match=f"^{name} is .*; legal: "):
                optimizer.step()
            optimizer.param_groups[1][name] = legal
    assert all(torch.equal(w, k) for w, k in zip(problem.params, kept))
    assert len(optimizer.state) == 0


@each_class
def test_an_illegal_group_is_not_added(cls):
    optimizer = cls([torch.ones(1, requires_grad=True)])
    new = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="lr is -1; legal: a finite number >= 0"):
        optimizer.add_param_group({"params": [new], "lr": -1})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [new], "name": "what the caller likes"})
    assert len(optimizer.param_groups) == 2


def test_a_group_may_not_ask_for_what_the_rule_does_not_have():
    w = torch.ones(1, requires_grad=True)
    with pytest.raises(TypeError, match="SGD has no weight_decay; it has lr, impl"):
        SGD([{"params": [w], "weight_decay": 0.1}])


@each_class
def test_sparse_gradients_are_refused_before_any_parameter_moves(cls):
    dense, sparse = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = cls([dense, sparse])
    dense.grad, sparse.grad = torch.ones(3), torch.ones(3).to_sparse()
    with pytest.raises(TypeError, match=r"sparse gradients: use sparse=False .*to_dense\(\)"):
        optimizer.step()
    assert torch.equal(dense, torch.ones(3)) and len(optimizer.state) == 0
    sparse.grad = sparse.grad.to_dense()
    optimizer.step()
    assert torch.equal(dense, sparse)


@each_class
def test_complex_parameters_are_refused(cls):
    w = torch.ones(3, dtype=torch.complex64, requires_grad=True)
    with pytest.raises(TypeError, match=r"complex parameters: keep the real view.*view_as_real"):
        cls([w])


@each_class
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_state_has_the_parameters_dtype(cls, dtype):
    problem = Problem(dtype=dtype)
    kwargs = {"eps": 0.1} if "eps" in cls.hyper else {}  # 1e-8 is 0 in float16
    optimizer = cls(problem.params, **kwargs | {"lr": 1e-3})
    run(problem, optimizer, 3)
    again = cls(problem.params, **kwargs)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for w in problem.params:
        assert w.dtype == dtype and torch.isfinite(w).all()
        for name in cls.state_names:
            assert optimizer.state[w][name].dtype == dtype
            assert torch.equal(optimizer.state[w][name], again.state[w][name])


@each_class
def test_shapes_and_memory_formats_do_not_matter(cls):
    """A 0-dim, a transposed, a channels_last and an empty parameter step like plain ones."""
    torch.manual_seed(0)
    plain = [torch.randn(()), torch.randn(4, 3), torch.randn(2, 3, 4, 4), torch.randn(0, 2)]
    odd = [
        plain[0].clone(),
        plain[1].t().contiguous().t(),
        plain[2].to(memory_format=torch.channels_last),
        plain[3].clone(),
    ]
    paths = []
    for params in (plain, odd):
        params = [w.detach().clone().requires_grad_() for w in params]
        strides = [w.stride() for w in params]
        optimizer = cls(params, lr=0.01)
        for k in range(3):
            for w in params:
                w.grad = torch.cos(w.detach() + k)
            optimizer.step()
        paths.append(params)
        assert [w.stride() for w in params] == strides
        for w in params:
            states = [optimizer.state[w][name] for name in cls.state_names]
            assert all(s.stride() == w.stride() for s in states)
    for a, b in zip(*paths):
        torch.testing.assert_close(a, b)


@each_class
def test_grad_scaler_skips_a_step_with_inf_and_unscales_the_others(cls):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaled, plain = Problem(), Problem()
    optimizer, reference = cls(scaled.params), cls(plain.params)
    kept = [w.detach().clone() for w in scaled.params]
    scaler.scale(scaled.loss() * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(w, k) for w, k in zip(scaled.params, kept))
    assert scaler.get_scale() == 4.0
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(scaled.loss()).backward()
        scaler.step(optimizer)
        scaler.update()
        reference.step(plain.closure(reference))
    assert equal(scaled, plain)


@each_class
def test_a_late_parameter_counts_its_own_steps(cls):
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = cls([a, b])
    a.grad = torch.ones(2)
    optimizer.step()
    first = a.detach().clone()
    optimizer.step()
    b.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(b, first)


@each_class
def test_named_parameters_are_taken(cls):
    model = torch.nn.Linear(2, 2)
    optimizer = cls(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]


def test_the_signature_is_the_declaration():
    assert SGD.state_names == [] and not SGD.counts_steps
    assert Momentum.state_names == ["v"] and Momentum.hyper == {"lr": 1e-2, "beta": 0.9}
    assert AdamW.state_names == ["m", "v"] and AdamW.counts_steps


def test_a_new_hyperparameter_must_say_what_is_legal():
    def rule(w, g, *, lr=0.1, warp=9):
        return (w - lr * g * warp,)

    with pytest.raises(TypeError, match="Warped does not say what is legal for .'warp'."):
        type("Warped", (Optimizer,), {"rule": staticmethod(rule)})
    warp = {"warp": (lambda x: x in range(10), "a whole number below 10")}
    cls = type("Warped", (Optimizer,), {"rule": staticmethod(rule), "legal": warp})
    with pytest.raises(ValueError, match="warp is 11; legal: a whole number below 10"):
        cls([torch.ones(1, requires_grad=True)], warp=11)


def test_a_rule_may_return_one_argument_as_the_new_value_of_another():
    def swap(w, g, v, *, lr=1.0):
        return v, w

    cls = type("Swap", (Optimizer,), {"rule": staticmethod(swap)})
    w = torch.ones(2, requires_grad=True)
    w.grad = torch.ones(2)
    optimizer = cls([w])
    optimizer.step()
    assert torch.equal(w, torch.zeros(2))
    assert torch.equal(optimizer.state[w]["v"], torch.ones(2))


def test_a_rule_that_fails_leaves_no_half_step():
    def broken(w, g, m, t, *, lr=1.0):
        if t == 2:
            raise ArithmeticError
        return w - g, m + g

    cls = type("Broken", (Optimizer,), {"rule": staticmethod(broken)})
    w = torch.zeros(2, requires_grad=True)
    w.grad = torch.ones(2)
    optimizer = cls([w])
    optimizer.step()
    with pytest.raises(ArithmeticError):
        optimizer.step()
    assert optimizer.state[w]["t"] == 1 and torch.equal(w, -torch.ones(2))


def test_a_subclass_of_a_subclass_inherits_the_rule():
    class Mine(Adam):
        pass

    assert Mine.hyper == Adam.hyper and Mine.state_names == ["m", "v"]
