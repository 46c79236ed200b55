"""Runs side by side are the runs that an ordinary loop makes, and share what they must."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments.side_by_side import descend, digits, evaluate, last, random_batches, text
from optlib.optimizers.adam import Adam
from optlib.optimizers.momentum import Momentum
from optlib.training import train

SEEDS, STEPS = (3, 4), 12
SCHEDULES = [lambda t: 0.01, lambda t: 0.02 / (1 + t)]


@pytest.mark.parametrize("make", [digits, text])
@pytest.mark.parametrize("optimizer", [Adam, Momentum])
def test_side_by_side_is_one_after_the_other(make, optimizer):
    task = make(SEEDS)
    weights = last(
        descend(task, optimizer, SEEDS, SCHEDULES, random_batches(task, SEEDS, 8, STEPS))
    )
    losses, wrong = evaluate(task, weights, task.test)
    for i, schedule in enumerate(SCHEDULES):
        for j, seed in enumerate(SEEDS):
            model = task.model(seed)
            x, y = (z[j] for z in task.train)
            rows = [rows[j] for rows in random_batches(task, SEEDS, 8, STEPS)]
            batches = [(x[r], y[r]) for r in rows]
            step = optimizer(model.parameters(), lr=schedule(0))
            train(model, step, batches, cross_entropy, schedule)
            with torch.no_grad():
                scores, truth = model(task.test[0][j]), task.test[1][j]
            assert losses[i, j] == pytest.approx(float(cross_entropy(scores, truth)), rel=1e-4)
            errors = 100 * float((scores.argmax(1) != truth).double().mean())
            assert wrong[i, j] == pytest.approx(errors, abs=0.3)  # a tie or two in float32


def test_the_parts_do_not_overlap():
    task = digits((5,))
    sizes = [part[1].shape[1] for part in (task.train, task.validation, task.test)]
    assert sizes == [1024, 386, 387] and sum(sizes) == 1797
    images = torch.cat([part[0][0] for part in (task.train, task.validation, task.test)])
    assert len(images.unique(dim=0)) == 1797


def test_a_seed_draws_the_same_batches_in_any_company():
    task = digits((7, 8))
    alone = list(random_batches(digits((8,)), (8,), 4, 3))
    together = list(random_batches(task, (7, 8), 4, 3))
    assert all(torch.equal(a[0], b[1]) for a, b in zip(alone, together))
