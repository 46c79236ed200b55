"""Everything the book states, one row a rule: what runs it, what it equals, where it is taught.

The rows drive the parity tests, the table of methods and the checks that nothing lacks its page.
Importing this file does not import torch: a twin is known by its dotted name.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from optlib.beyond import adagrad, lion, muon, schedule_free
from optlib.large_batch import accumulation, lamb, lars, scaling
from optlib.optimizers import adam, momentum, rmsprop, sgd
from optlib.regularization import (
    batchnorm,
    clipping,
    dropout,
    early_stopping,
    label_smoothing,
    penalties,
)
from optlib.schedules import cosine, decay, restarts, warmup


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
    """One rule. `paper` is a key of the bibliography; `page` and `exercise` have one name.

    `optimizer` is the class that drives it, `layer` the torch layer that it becomes.
    """

    rule: Callable
    paper: str
    page: str
    optimizer: type | None = None
    twin: Twin | None = None
    exercise: str | None = None
    layer: type | None = None

    needs: str | None = None  # "matrix": w has rows and columns. "switch": eval() before judging

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
    Row(decay.constant, "bengio2012practical", "schedules/decay"),
    _taught("schedules/decay", decay.step_decay, "he2016deep"),
    _taught("schedules/decay", decay.exponential_decay, "bengio2012practical"),
    _taught("schedules/decay", decay.linear_decay, "bergsma2025straight"),
    Row(decay.inverse_square_root, "vaswani2017attention", "schedules/decay"),
    Row(decay.noam, "vaswani2017attention", "schedules/decay"),
    _taught("schedules/cosine", cosine.cosine_annealing, "loshchilov2017sgdr"),
    _taught("schedules/restarts", restarts.warm_restarts, "loshchilov2017sgdr"),
    _taught("schedules/warmup", warmup.linear_warmup, "goyal2017accurate"),
    Row(warmup.warmup, "goyal2017accurate", "schedules/warmup"),
    _taught("schedules/warmup", warmup.warmup_cosine, "gotmare2019closer"),
    _taught("schedules/warmup", warmup.warmup_stable_decay, "hagele2024scaling"),
    Row(warmup.one_cycle, "smith2017cyclical", "schedules/warmup"),  # many cycles there, one here
    _taught("regularization/penalties", penalties.l2_penalty, "krogh1991simple"),
    _taught("regularization/penalties", penalties.l1_penalty, "tibshirani1996regression"),
    _taught("regularization/penalties", penalties.soft_threshold, "tibshirani1996regression"),
    Row(penalties.proximal_step, "tibshirani1996regression", "regularization/penalties"),
    Row(penalties.decoupled_decay, "loshchilov2019decoupled", "regularization/penalties"),
    _taught(
        "regularization/dropout", dropout.dropout, "srivastava2014dropout", layer=dropout.Dropout
    ),
    _taught(
        "regularization/batchnorm",
        batchnorm.batch_norm,
        "ioffe2015batch",
        layer=batchnorm.BatchNorm,
    ),
    _taught("regularization/batchnorm", batchnorm.batch_norm_backward, "ioffe2015batch"),
    _taught(
        "regularization/batchnorm", batchnorm.layer_norm, "ba2016layer", layer=batchnorm.LayerNorm
    ),
    _taught("regularization/early_stopping", early_stopping.EarlyStopping, "prechelt1998early"),
    *(
        Row(criterion, "prechelt1998early", "regularization/early_stopping")
        for criterion in (
            early_stopping.generalization_loss,
            early_stopping.training_progress,
            early_stopping.progress_quotient,
        )
    ),
    *(
        Row(rule, "pascanu2013difficulty", "regularization/clipping")
        for rule in (
            clipping.clip_by_value,
            clipping.clip_by_norm,
            clipping.clip_by_global_norm,
        )
    ),
    *(
        Row(rule, "szegedy2016rethinking", "regularization/label_smoothing")
        for rule in (label_smoothing.smooth_labels, label_smoothing.smoothed_cross_entropy)
    ),
    _taught("large_batch/scaling", scaling.scaled_lr, "goyal2017accurate"),
    *(
        Row(rule, "mccandlish2018empirical", "large_batch/scaling")
        for rule in (
            scaling.stationary_variance,
            scaling.gradient_and_noise,
            scaling.noise_scale,
            scaling.relative_steps,
            scaling.relative_examples,
        )
    ),
    _taught("large_batch/accumulation", accumulation.accumulated_gradient, "ott2018scaling"),
    _taught("large_batch/accumulation", accumulation.accumulate_and_step, "ott2018scaling"),
    Row(accumulation.token_weighted_gradient, "ott2018scaling", "large_batch/accumulation"),
    _taught("large_batch/lars", lars.lars, "you2017large", optimizer=lars.LARS),
    _taught("large_batch/lamb", lamb.lamb, "you2020large", optimizer=lamb.LAMB),
    Row(
        adagrad.adagrad,
        "duchi2011adaptive",
        "beyond/adagrad",
        optimizer=adagrad.Adagrad,
        twin=Twin("torch.optim.Adagrad"),
    ),
    Row(lion.lion, "chen2023symbolic", "beyond/lion", optimizer=lion.Lion),
    Row(muon.muon, "jordan2024muon", "beyond/muon", optimizer=muon.Muon, needs="matrix"),
    Row(
        muon.muon_or_adamw,
        "jordan2024muon",
        "beyond/muon",
        optimizer=muon.MuonWithAdamW,
        needs="matrix",
    ),
    Row(
        schedule_free.schedule_free_sgd,
        "defazio2024road",
        "beyond/schedule_free",
        optimizer=schedule_free.ScheduleFreeSGD,
        needs="switch",
    ),
    Row(
        schedule_free.schedule_free_adamw,
        "defazio2024road",
        "beyond/schedule_free",
        optimizer=schedule_free.ScheduleFreeAdamW,
        needs="switch",
    ),
)
