"""The one place that drives a rule over a model's parameters, and the only one that changes them.

A rule is a pure function `rule(w, g, *state, [t], *, lr, ...) -> (w, *state)`. Its signature is its
declaration: the arguments between `g` and `t` are what the optimizer remembers, the keyword
arguments are its hyperparameters with their defaults.
"""

import functools
import inspect
import math
from collections import defaultdict

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch: rules run, classes do not
    torch = None

IMPLS = ("eager", "compile")
PIECE = 1 << 16  # elements


def _non_negative(x):
    return 0 <= x < math.inf


def _fraction(x):
    return 0 <= x < 1


def _two_fractions(x):
    return len(x) == 2 and all(map(_fraction, x))


# What a hyperparameter may be: a test of one value, and the same in words for the error message.
# A class whose rule has further ones names them in its own `legal`.
LEGAL = {
    "lr": (_non_negative, "a finite number >= 0"),
    "beta": (_fraction, "in [0, 1)"),
    "betas": (_two_fractions, "two numbers, each in [0, 1)"),
    "alpha": (_fraction, "in [0, 1)"),
    "rho": (_fraction, "in [0, 1)"),
    "eps": (_non_negative, "a finite number >= 0"),
    "weight_decay": (_non_negative, "a finite number >= 0"),
    "trust": (_non_negative, "a finite number >= 0"),
    "adapt": (lambda x: isinstance(x, bool), "True or False"),
}


class Optimizer(torch.optim.Optimizer if torch else object):
    """Apply `rule` to every parameter that has a gradient.

    A subclass names its rule; everything else is read from the rule's signature. It is a
    `torch.optim.Optimizer`: parameter groups, closures, `state_dict`, torch's schedulers and
    `GradScaler` work as they do there. A gradient of None skips its parameter; a gradient of zeros
    does not. Gradients are never modified.

    `state[w]` holds the rule's own letters, each in the shape and dtype of `w`, and `t`, the number
    of steps that this parameter has taken.

    Raises ValueError for a hyperparameter outside its range, TypeError for an unknown one, for a
    sparse gradient and for a complex parameter: always before any parameter has moved.
    """

    rule = None
    legal = {}

    def __init_subclass__(cls):
        # On the class, not the instance: torch copies and unpickles an optimizer without __init__.
        arguments = inspect.signature(cls.rule).parameters.values()
        positional = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
        cls.counts_steps = positional[-1] == "t"
        cls.state_names = [name for name in positional[2:] if name != "t"]
        cls.hyper = {a.name: a.default for a in arguments if a.kind is a.KEYWORD_ONLY}
        cls.legal = {**LEGAL, **cls.legal}
        if unbounded := cls.hyper.keys() - cls.legal.keys():
            raise TypeError(f"{cls.__name__} does not say what is legal for {sorted(unbounded)}")

    def __init__(self, params, *, impl="eager", **hyper):
        if torch is None:
            raise ImportError(f"{type(self).__name__} drives torch tensors: pip install torch")
        self._refuse_unknown(hyper.keys() - self.hyper.keys())
        super().__init__(params, {**self.hyper, **hyper, "impl": impl})

    def __getstate__(self):
        state = super().__getstate__()
        state["state"] = defaultdict(dict)  # with tensors of their own: pickle would write a
        for w, memory in self.state.items():  # buffer that they share once for every one of them
            own = {k: x.clone() if torch.is_tensor(x) else x for k, x in memory.items()}
            state["state"][w] = own
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:  # an older state_dict may lack what came later
            for name, default in {**self.hyper, "impl": "eager"}.items():
                group.setdefault(name, default)

    def add_param_group(self, param_group):
        if isinstance(param_group, dict):  # torch refuses the rest in its own words
            # A group's other keys are the caller's: torch's schedulers leave notes there.
            self._refuse_unknown(param_group.keys() & self.legal.keys() - self.hyper.keys())
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    @torch.no_grad() if torch else lambda f: f
    def step(self, closure=None):
        """One step. `closure`, if given, recomputes the loss, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._check(group)
        for group in self.param_groups:
            hyper = {name: _plain(group[name]) for name in self.hyper}
            if group["impl"] == "compile":
                from optlib import compiled  # it needs torch, this file must not

                compiled.step(self, group, hyper)
                continue
            for w in group["params"]:
                if w.grad is not None:
                    self._step_one(w, w.grad, hyper)
        return loss

    def state_of(self, w):
        """What the optimizer remembers of `w`, made at its first step."""
        state = self.state[w]
        if not state:
            state.update({name: torch.zeros_like(w) for name in self.state_names})
            if self.counts_steps:
                state["t"] = 0
        return state

    def _step_one(self, w, g, hyper):
        state = self.state_of(w)
        old = [w, *(state[name] for name in self.state_names)]
        clock = (state["t"] + 1,) if self.counts_steps else ()
        for g_piece, *pieces in zip(*_pieces((g, *old), self._elementwise())):
            w_piece, *state_pieces = pieces
            new = self.rule(w_piece, g_piece, *state_pieces, *clock, **hyper)
            # A rule may hand back an argument as another's new value: keep it before it changes.
            new = [x.clone() if any(x is y for y in pieces) else x for x in new]
            for tensor, value in zip(pieces, new, strict=True):
                tensor.copy_(value)
        if clock:
            (state["t"],) = clock

    @classmethod
    @functools.cache
    def _elementwise(cls):
        from optlib.compiled import is_elementwise

        clock = (1,) if cls.counts_steps else ()
        return is_elementwise(cls.rule, len(cls.state_names), clock, cls.hyper)

    def _refuse_unknown(self, names):
        if names:
            raise TypeError(
                f"{type(self).__name__} has no {', '.join(sorted(names))}; "
                f"it has {', '.join([*self.hyper, 'impl'])}"
            )

    def _check(self, group):
        if group["impl"] not in IMPLS:
            raise ValueError(f"impl is {group['impl']!r}; legal: {', '.join(map(repr, IMPLS))}")
        for name in self.hyper:
            self._check_value(name, group[name])
        for w in group["params"]:
            self._check_tensor(w)

    def _check_value(self, name, value):
        test, words = self.legal[name]
        if torch.is_tensor(value) and value.numel() != 1:  # torch's own words
            raise ValueError(f"Tensor {name} must be 1-element; it has {value.numel()}")
        try:
            legal = test(_plain(value))
        except (TypeError, ValueError, RuntimeError):
            legal = False
        if not legal:
            raise ValueError(f"{name} is {value!r}; legal: {words}")

    def _check_tensor(self, w):
        if w.is_complex():
            raise TypeError(
                f"{type(self).__name__} does not support complex parameters: "
                "keep the real view, torch.view_as_real(w), as the parameter"
            )
        if w.grad is not None and w.grad.layout is not torch.strided:
            raise TypeError(
                f"{type(self).__name__} does not support sparse gradients: "
                "use sparse=False in the layer, or w.grad = w.grad.to_dense()"
            )


def _pieces(tensors, elementwise):
    """Cut large tensors alike: a rule's temporaries then stay in the processor's cache.

    On fresh memory for every temporary an eager step took eight times as long on a CPU.
    """
    whole = tensors[0].numel() <= PIECE or tensors[0].device.type != "cpu"
    if whole or not elementwise or not all(x.is_contiguous() for x in tensors):
        return [(x,) for x in tensors]
    return [x.view(-1).split(PIECE) for x in tensors]


def _plain(x):
    """Return a hyperparameter as Python numbers: no dtype of its own may leak into the weights."""
    if isinstance(x, tuple | list):
        return tuple(_plain(y) for y in x)
    if torch.is_tensor(x):
        return x.item()
    return x if isinstance(x, bool) else float(x)
