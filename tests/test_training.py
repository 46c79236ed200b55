"""The training loop: equal to torch's plain loop, and honest about norms and NaN."""

import math
from functools import partial

import pytest
import torch
from torch.nn.functional import mse_loss

from optlib.optimizers.adam import Adam
from optlib.schedules.warmup import warmup_cosine
from optlib.training import train


def setting(seed=0, steps=12):
    g = torch.Generator().manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    model = model.double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, dtype=p.dtype, generator=g))
    batches = [
        (
            torch.randn(5, 3, dtype=torch.float64, generator=g),
            torch.randn(5, 1, generator=g).double(),
        )
        for _ in range(steps)
    ]
    return model, batches


SCHEDULE = partial(warmup_cosine, warmup_steps=3, total_steps=12, lr_max=0.1)


@pytest.mark.parametrize("max_norm", [None, 0.5])
@pytest.mark.parametrize("schedule", [None, SCHEDULE])
def test_equal_to_torchs_plain_loop(schedule, max_norm):
    model, batches = setting()
    record = train(model, Adam(model.parameters(), lr=0.05), batches, mse_loss, schedule, max_norm)
    twin, batches = setting()
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.05)
    for t, (x, y) in enumerate(batches):
        rate = 0.05 if schedule is None else schedule(t)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = mse_loss(twin(x), y)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), max_norm or math.inf)
        optimizer.step()
        assert record.losses[t] == pytest.approx(loss.item(), rel=1e-5)
        assert record.norms[t] == pytest.approx(norm.item(), rel=1e-5)  # before clipping
        assert record.rates[t] == pytest.approx(rate, rel=1e-14)
    for p, q in zip(model.parameters(), twin.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    assert len(record.losses) == len(record.norms) == len(record.rates) == 12
    assert record.nonfinite is None
    assert max_norm is None or max(record.norms) > max_norm


def test_sgd_by_hand():
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.constant_(model.weight, 2.0)
    one = torch.ones(1, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    record = train(model, optimizer, [(one, 0 * one)] * 3, mse_loss)
    assert (record.losses, record.norms) == ([4.0, 1.0, 0.25], [4.0, 2.0, 1.0])
    assert model.weight.item() == 0.25 and record.rates == [0.25] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_the_first_nonfinite_gradient_is_named_and_goes_on(bad, max_norm):
    model, batches = setting()
    calls = 0

    def spoil(g):
        nonlocal calls
        calls += 1
        return torch.where(torch.arange(4) == 1, bad, g) if calls == 5 else g  # one of four

    model[2].weight.register_hook(spoil)
    record = train(
        model, torch.optim.SGD(model.parameters(), lr=0.1), batches, mse_loss, max_norm=max_norm
    )
    assert record.nonfinite == (4, "2.weight")
    assert all(map(math.isfinite, record.norms[:4])) and not math.isfinite(record.norms[4])
    assert not model[2].weight.isfinite().all()  # as in torch: it is in the weights
    assert math.isnan(record.losses[-1])


def test_stops_after_the_step_that_says_so():
    model, batches = setting()
    seen = []

    def stop(t, loss):
        seen.append((t, loss))
        return t == 3

    record = train(model, Adam(model.parameters()), iter(batches), mse_loss, stop=stop)
    assert seen == list(enumerate(record.losses)) and len(seen) == 4


def test_trains_in_training_mode_and_skips_what_has_no_gradient():
    model, batches = setting()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    model.eval()
    record = train(model, Adam(model.parameters()), batches, mse_loss)
    assert model.training and model[0].weight.equal(before) and min(record.norms) > 0


def test_no_batches_no_steps():
    model, _ = setting()
    record = train(model, Adam(model.parameters()), [], mse_loss, SCHEDULE, 1.0)
    assert (record.losses, record.nonfinite) == ([], None)


def test_max_norm_zero_is_refused():
    model, batches = setting()
    with pytest.raises(ValueError, match="max_norm is 0"):
        train(model, Adam(model.parameters()), batches, mse_loss, max_norm=0)
