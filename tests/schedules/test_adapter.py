"""Any schedule through torch's LambdaLR: the rates arrive, the groups keep their ratio."""

import copy
from functools import partial

import pytest
import torch

from optlib.optimizers.adam import Adam
from optlib.schedules import decay, restarts, warmup
from optlib.schedules.adapter import factor, lambda_lr
from optlib.schedules.cosine import cosine_annealing

SCHEDULES = {
    "constant": partial(decay.constant, lr=0.3),
    "step": partial(decay.step_decay, lr=0.3, every=7),
    "exponential": partial(decay.exponential_decay, lr=0.3, k=0.05),
    "linear": partial(decay.linear_decay, T=30, lr_max=0.3),
    "noam": partial(decay.noam, warmup_steps=10),
    "cosine": partial(cosine_annealing, T=30, lr_max=0.3, lr_min=0.01),
    "restarts": partial(restarts.warm_restarts, T_0=5, T_mult=2, lr_max=0.3),
    "warmup": partial(warmup.warmup_cosine, warmup_steps=5, total_steps=40, lr_max=0.3),
    "wsd": partial(
        warmup.warmup_stable_decay, warmup_steps=5, decay_steps=9, total_steps=40, lr_max=0.3
    ),
    "one cycle": partial(warmup.one_cycle, total_steps=40, lr_max=0.3),
    "composed": warmup.warmup(partial(decay.step_decay, lr=0.3), 4),
}


def parameter():
    return torch.zeros(1, requires_grad=True)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("make", [partial(torch.optim.SGD, lr=0.17), partial(Adam, lr=1e-3)])
def test_the_optimizer_gets_the_schedules_rates(schedule, make):
    optimizer = make([parameter()])
    scheduler = lambda_lr(optimizer, schedule)
    for t in range(50):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(schedule(t), rel=1e-14)
        optimizer.step()
        scheduler.step()


def test_groups_keep_their_ratio():
    groups = [{"params": [parameter()]}, {"params": [parameter()], "lr": 0.02}]
    optimizer = torch.optim.SGD(groups, lr=0.2)
    scheduler = lambda_lr(optimizer, SCHEDULES["cosine"])
    for t in range(20):
        rates = [group["lr"] for group in optimizer.param_groups]
        rate = SCHEDULES["cosine"](t)
        assert rates == pytest.approx([rate, rate / 10], rel=1e-13)
        optimizer.step()
        scheduler.step()


def test_resumes_in_the_middle():
    def start():
        optimizer = torch.optim.SGD([parameter()], lr=0.2)
        return optimizer, lambda_lr(optimizer, SCHEDULES["restarts"])

    optimizer, scheduler = start()
    for _ in range(13):
        optimizer.step()
        scheduler.step()
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    optimizer, scheduler = start()
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    for t in range(13, 40):
        expected = pytest.approx(SCHEDULES["restarts"](t), rel=1e-14, abs=1e-18)
        assert optimizer.param_groups[0]["lr"] == expected
        optimizer.step()
        scheduler.step()


def test_a_base_rate_of_zero_has_no_multiples():
    with pytest.raises(ValueError, match=r"lr is 0.0; legal: a number in \(0, inf\)"):
        lambda_lr(torch.optim.SGD([parameter()], lr=0.0), SCHEDULES["cosine"])
    with pytest.raises(ValueError, match="lr is nan"):
        factor(SCHEDULES["cosine"], float("nan"))
    assert factor(lambda t: 0.3 / (t + 1), 0.1)(2) == pytest.approx(1.0)
