"""Every class equals its torch twin, every rule equals itself on NumPy: at every step, in float64.

The error of a sum is measured against its terms: a coordinate may be off by 1e-12 of the largest
value that it has had so far, which is 1e-12 of itself except where it has just crossed zero.
"""

import math

import numpy as np
import pytest
import torch

from optlib.catalogue import CATALOGUE

STEPS = 300
RTOL = 1e-12
# Loud values: far from the defaults and from each other, so that no two can be mixed up unseen.
LOUD = {
    "lr": 0.13,
    "beta": 0.83,
    "betas": (0.78, 0.953),
    "eps": 3e-3,
    "weight_decay": 0.17,
    "trust": 0.07,
}
OTHER = {
    "lr": 0.021,
    "beta": 0.61,
    "betas": (0.5, 0.9),
    "eps": 1e-7,
    "weight_decay": 0.6,
    "trust": 0.3,
}
TWINS = [row for row in CATALOGUE if row.optimizer and row.twin]
RULES = [row for row in CATALOGUE if row.optimizer and row.needs is None]


def named(rows):
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def of(row, values):
    return {name: values[name] for name in row.optimizer.hyper if name in values}


def lr_factor(step):
    """A schedule with a ramp, a hundredfold drop and a rise; never 0, which the bridge forbids."""
    return (1 + math.sin(step / 7) * 0.9) * (0.01 if 100 <= step < 180 else 1)


def gradients(shape, seed):
    """Return STEPS gradients: each coordinate has its own size, 1e-8 to 1e4; a tenth are 0."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-8, 4, shape)
    draws = rng.standard_normal((STEPS, *shape)) * size
    draws[rng.random((STEPS, *shape)) < 0.1] = 0.0
    return draws


class Race:
    """Our optimizer and its twin on equal copies of five parameters, in two groups."""

    shapes = [(7, 5), (11,), (), (3, 2), (4,)]
    always_none, sometimes_none = 3, 4

    def __init__(self, row):
        rng = np.random.default_rng(1)
        # The first starts at 0: beside a weight of 1, a wrong step of 1e-13 would go unseen.
        starts = [rng.standard_normal(shape) * (k > 0) for k, shape in enumerate(self.shapes)]
        self.row = row
        self.ours = [torch.tensor(x, requires_grad=True) for x in starts]
        self.theirs = [torch.tensor(x, requires_grad=True) for x in starts]
        self.gradients = [gradients(shape, k) for k, shape in enumerate(self.shapes)]
        self.mine = self.make_mine()
        first, second = of(row, LOUD), of(row, OTHER)
        translate = row.twin.translate
        self.twin = row.twin.load()(
            [
                {"params": self.theirs[:3]},
                {"params": self.theirs[3:], **translate(second)},
            ],
            **translate(first),
        )
        self.base = [first["lr"], second["lr"]]
        self.largest = [np.abs(x) for x in starts]

    def make_mine(self):
        return self.row.optimizer(
            [
                {"params": self.ours[:3]},
                {"params": self.ours[3:], **of(self.row, OTHER)},
            ],
            **of(self.row, LOUD),
        )

    def step(self, k, changing_lr):
        if changing_lr:
            self.set_lr(k)
        for number, (a, b, g) in enumerate(zip(self.ours, self.theirs, self.gradients)):
            skip = number == self.always_none or (number == self.sometimes_none and k % 3 == 0)
            a.grad = None if skip else torch.tensor(g[k])
            b.grad = None if skip else torch.tensor(g[k])
        self.mine.step()
        self.twin.step()

    def set_lr(self, k):
        for base, mine, theirs in zip(self.base, self.mine.param_groups, self.twin.param_groups):
            new = base * lr_factor(k)
            if self.row.twin.at_new_lr:
                self.row.twin.at_new_lr(self.twin, theirs, theirs["lr"], new)
            mine["lr"] = theirs["lr"] = new

    def compare(self, k):
        for number, (a, b) in enumerate(zip(self.ours, self.theirs)):
            a, b = a.detach().numpy(), b.detach().numpy()
            self.largest[number] = np.maximum(self.largest[number], np.abs(b))
            worst = np.abs(a - b) - RTOL * self.largest[number]
            assert (worst <= 0).all(), f"parameter {number} at step {k + 1}: {a} is not {b}"


@named(TWINS)
@pytest.mark.parametrize("changing_lr", [False, True], ids=["constant_lr", "changing_lr"])
def test_equals_torch_at_every_step(row, changing_lr):
    race = Race(row)
    for k in range(STEPS):
        race.step(k, changing_lr)
        race.compare(k)
    untouched, used = race.ours[Race.always_none], race.ours[Race.sometimes_none]
    assert race.mine.state.get(untouched) is None
    if race.mine.counts_steps:
        assert race.mine.state[used]["t"] == sum(k % 3 != 0 for k in range(STEPS))


@named(TWINS)
def test_goes_on_after_a_state_dict_round_trip(row):
    race = Race(row)
    for k in range(40):
        if k == 17:
            saved = race.mine.state_dict()
            race.mine = race.make_mine()
            race.mine.load_state_dict(saved)
        race.step(k, changing_lr=True)
        race.compare(k)


@named([row for row in TWINS if row.twin.at_new_lr])
def test_differs_from_torch_when_the_lr_changes_and_nothing_is_carried(row):
    race = Race(row)
    race.step(0, changing_lr=False)
    for group in race.mine.param_groups + race.twin.param_groups:
        group["lr"] *= 0.01
    race.step(1, changing_lr=False)
    with pytest.raises(AssertionError):
        race.compare(1)


def run_rule(row, gradients, start, convert, hyper):
    """Return the trajectory of every value that the rule returns, as NumPy arrays."""
    values = [convert(start)] + [convert(np.zeros_like(start))] * len(row.optimizer.state_names)
    path = []
    for t, g in enumerate(gradients, start=1):
        clock = (t,) if row.optimizer.counts_steps else ()
        values = row.rule(values[0], convert(g), *values[1:], *clock, **hyper)
        path.append([np.asarray(value) for value in values])
    return path


@named(RULES)
def test_rule_is_the_same_on_numpy_and_torch(row):
    hyper = of(row, LOUD)
    start = np.random.default_rng(2).standard_normal((7, 5))
    steps = gradients(start.shape, 5)[:50]
    path = run_rule(row, steps, start, np.copy, hyper)
    # A norm is a sum, and the order of its terms is the library's own.
    rtol = 1e-12 if "norm" in row.rule.__code__.co_names else 1e-15
    for t, (g, old, new) in enumerate(zip(steps[1:], path, path[1:]), start=2):
        clock = (t,) if row.optimizer.counts_steps else ()
        tensors = [torch.tensor(x) for x in (old[0], g, *old[1:])]
        for before, ours, theirs in zip(old, new, row.rule(*tensors, *clock, **hyper)):
            allowed = rtol * np.maximum(np.abs(before), np.abs(ours))
            assert (np.abs(ours - theirs.numpy()) <= allowed).all()


@named(RULES)
def test_rule_on_floats_is_the_rule_on_an_array(row):
    hyper = of(row, LOUD)
    steps = [0.3, -2.0, 0.0, 1e-6]
    array = run_rule(row, np.array(steps).reshape(4, 1), np.array([0.7]), np.copy, hyper)
    numbers = run_rule(row, steps, 0.7, float, hyper)
    for a, b in zip(array, numbers):
        np.testing.assert_allclose(np.squeeze(a), b, rtol=1e-14)


@named(RULES)
def test_rule_changes_none_of_its_arguments(row):
    rng = np.random.default_rng(3)
    arrays = [rng.random((3, 2)) for _ in range(2 + len(row.optimizer.state_names))]
    kept = [array.copy() for array in arrays]
    row.rule(*arrays, *((4,) if row.optimizer.counts_steps else ()), **of(row, LOUD))
    for array, copy in zip(arrays, kept):
        np.testing.assert_array_equal(array, copy)


@named(RULES)
def test_float32_weights_stay_float32(row):
    shape = (3,)
    arrays = [np.ones(shape, np.float32) for _ in range(2 + len(row.optimizer.state_names))]
    new = row.rule(*arrays, *((2,) if row.optimizer.counts_steps else ()))
    assert {x.dtype for x in new} == {np.dtype(np.float32)}
