"""Everything the book states, one row a rule: what runs it, what it equals, where it is taught.

The rows drive the parity tests, the table of methods and the checks that nothing lacks its page.
Importing this file does not import torch: a twin is known by its dotted name.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from optlib.large_batch import lamb, lars
from optlib.optimizers import adam, momentum, rmsprop, sgd
from optlib.schedules import cosine


def carry_velocity(twin, group, old_lr, new_lr):
    """Make torch's SGD coast as the lesson's does when the lr of `group` changes, before the step.

    Ours stores v = lr * buffer and keeps the lr a velocity was made at; torch's buffer is
    multiplied by whatever lr comes next. `old_lr / new_lr` undoes that (new_lr must not be 0).
    """
    for w in group["params"]:
        if twin.state.get(w):
            twin.state[w]["momentum_buffer"] *= old_lr / new_lr


@dataclass(frozen=True)
class Twin:
    """An implementation of torch's that a rule equals, and how to ask it for the same thing.

    `names` translates our hyperparameters where theirs differ, `fixed` adds what only they need;
    `at_new_lr(twin, group, old_lr, new_lr)` is what to do to theirs whenever the lr changes.
    """

    path: str
    names: dict = field(default_factory=dict)
    fixed: dict = field(default_factory=dict)
    at_new_lr: Callable | None = None

    def load(self):
        """Return torch's class; this, and nothing before it, imports torch."""
        module, _, name = self.path.rpartition(".")
        return getattr(importlib.import_module(module), name)

    def translate(self, hyper):
        """Return our hyperparameters `hyper` in their names."""
        return {self.names.get(name, name): value for name, value in hyper.items()} | self.fixed


@dataclass(frozen=True)
class Row:
    """One rule. `paper` is a key of the bibliography; `page` and `exercise` have one name."""

    rule: Callable
    paper: str
    page: str
    optimizer: type | None = None
    twin: Twin | None = None
    exercise: str | None = None

    needs: str | None = None  # "matrix": its rule is about the rows and columns of w

    @property
    def name(self):
        return self.rule.__name__


def _taught(page, rule, paper, **rest):
    """A row whose page has an exercise of the same name."""
    return Row(rule, paper, page, exercise=page, **rest)


SGD_WITH_MOMENTUM = Twin("torch.optim.SGD", names={"beta": "momentum"}, at_new_lr=carry_velocity)
SGD_WITH_NESTEROV = Twin(
    "torch.optim.SGD",
    names={"beta": "momentum"},
    fixed={"nesterov": True},
    at_new_lr=carry_velocity,
)

CATALOGUE = (
    _taught(
        "optimizers/sgd",
        sgd.sgd,
        "robbins1951stochastic",
        optimizer=sgd.SGD,
        twin=Twin("torch.optim.SGD"),
    ),
    _taught(
        "optimizers/momentum",
        momentum.momentum,
        "sutskever2013importance",
        optimizer=momentum.Momentum,
        twin=SGD_WITH_MOMENTUM,
    ),
    _taught(
        "optimizers/momentum",
        momentum.nesterov,
        "bengio2013advances",
        optimizer=momentum.Nesterov,
        twin=SGD_WITH_NESTEROV,
    ),
    _taught(
        "optimizers/rmsprop",
        rmsprop.rmsprop,
        "tieleman2012rmsprop",
        optimizer=rmsprop.RMSprop,
        twin=Twin("torch.optim.RMSprop", names={"beta": "alpha"}),
    ),
    _taught(
        "optimizers/adam",
        adam.adam,
        "kingma2015adam",
        optimizer=adam.Adam,
        twin=Twin("torch.optim.Adam"),
    ),
    _taught(
        "optimizers/adam",
        adam.adamw,
        "loshchilov2019decoupled",
        optimizer=adam.AdamW,
        twin=Twin("torch.optim.AdamW"),
    ),
    _taught("schedules/cosine", cosine.cosine_annealing, "loshchilov2017sgdr"),
    _taught("large_batch/lars", lars.lars, "you2017large", optimizer=lars.LARS),
    _taught("large_batch/lamb", lamb.lamb, "you2020large", optimizer=lamb.LAMB),
)
