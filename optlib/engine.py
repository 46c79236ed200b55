"""The one place that drives a rule over a model's parameters, and the only one that overwrites them.

A rule is a pure function `rule(w, g, *state, [t], *, lr, ...) -> (w, *state)`. Its signature is its
declaration: the arguments between `g` and `t` are what the optimizer remembers, the keyword arguments
are its hyperparameters with their defaults.
"""

import inspect
import math

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch: rules run, classes do not
    torch = None

# What a hyperparameter may be: a test of one number, and the same in words for the error message.
LEGAL = {
    "lr": (lambda x: 0 <= x < math.inf, "a finite number >= 0"),
    "beta": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "betas": (lambda x: 0 <= x < 1, "two numbers, each in [0, 1)"),
    "eps": (lambda x: 0 <= x < math.inf, "a finite number >= 0"),
    "weight_decay": (lambda x: 0 <= x < math.inf, "a finite number >= 0"),
}


class Optimizer(torch.optim.Optimizer if torch else object):
    """Apply `rule` to every parameter that has a gradient.

    A subclass names its rule; everything else is read from the rule's signature. It is a
    `torch.optim.Optimizer`: parameter groups, closures, `state_dict`, torch's schedulers and
    `GradScaler` work as they do there. Gradients are never modified.

    Raises ValueError for a hyperparameter outside its range, TypeError for an unknown one.
    """

    rule = None

    def __init_subclass__(cls):
        # On the class, not the instance: torch copies and unpickles an optimizer without __init__.
        arguments = inspect.signature(cls.rule).parameters.values()
        positional = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
        cls.counts_steps = positional[-1] == "t"
        cls.state_names = [name for name in positional[2:] if name != "t"]
        cls.hyper = {a.name: a.default for a in arguments if a.kind is a.KEYWORD_ONLY}

    def __init__(self, params, *, impl="eager", **hyper):
        if torch is None:
            raise ImportError(f"{type(self).__name__} drives torch tensors: pip install torch")
        if unknown := sorted(hyper.keys() - self.hyper.keys()):
            raise TypeError(
                f"{type(self).__name__} has no {', '.join(unknown)}; it has {', '.join(self.hyper)}"
            )
        super().__init__(params, {**self.hyper, **hyper, "impl": impl})

    def add_param_group(self, param_group):
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def _check(self, group):
        if group["impl"] not in ("eager",):
            raise ValueError(f"impl is {group['impl']!r}; legal: 'eager'")
        for name in self.hyper:
            legal, words = LEGAL[name]
            value = group[name]
            if name == "betas" and len(value) != 2:
                raise ValueError(f"betas is {value!r}; legal: {words}")
            for number in value if isinstance(value, tuple | list) else (value,):
                if torch.is_tensor(number) and number.numel() != 1:
                    raise ValueError(f"{name} is a tensor of {number.numel()} elements; legal: one")
                if not legal(float(number)):
                    raise ValueError(f"{name} is {value!r}; legal: {words}")

    @torch.no_grad() if torch else lambda f: f
    def step(self, closure=None):
        """One step. `closure`, if given, recomputes the loss, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._step_one(w, w.grad, self.state[w], group)
        return loss

    def _step_one(self, w, g, state, group):
        if g.is_sparse:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        if torch.is_complex(w):
            raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
        if not state:
            state.update({name: torch.zeros_like(w) for name in self.state_names})
            if self.counts_steps:
                state["t"] = 0
        old = [w, *(state[name] for name in self.state_names)]
        arguments = [w, g, *old[1:]]
        if self.counts_steps:
            state["t"] += 1
            arguments.append(state["t"])
        hyper = {name: group[name] for name in self.hyper}
        for tensor, new in zip(old, self.rule(*arguments, **hyper)):
            tensor.copy_(new)
