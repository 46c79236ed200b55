"""A small honest training loop: it hides no NaN, and says where the first one came from."""

from dataclasses import dataclass, field
from math import isfinite

from optlib.regularization.clipping import clip_gradients, global_norm
from optlib.schedules.adapter import lambda_lr


@dataclass
class Record:
    """What happened, one entry a step: the loss, the gradient's norm before clipping, the rate.

    `nonfinite` is None, or the first `(step, parameter name)` whose gradient was NaN or infinite.
    """

    losses: list = field(default_factory=list)
    norms: list = field(default_factory=list)
    rates: list = field(default_factory=list)
    nonfinite: tuple | None = None


def train(model, optimizer, batches, loss_fn, schedule=None, max_norm=None, stop=None):
    """Take one step of `optimizer` for each `(inputs, targets)` of `batches`; return a `Record`.

    The loss is `loss_fn(model(inputs), targets)`. `schedule(t)` is the rate of step t, 0 at the
    first; without it the rate stays. Gradients are clipped to the global norm `max_norm` if given.
    `stop(t, loss)` ends the training, after step t, by returning True.

    Conventions: nothing is skipped or repaired. A gradient that is NaN or infinite goes on into the
    weights, as in torch's own loop; the record names the first.
    """
    scheduler = schedule and lambda_lr(optimizer, schedule)
    record = Record()
    model.train()
    for t, (inputs, targets) in enumerate(batches):
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        if max_norm is None:
            norm = float(global_norm(grads.values()))
        else:  # leaves `grads` as they are
            norm = clip_gradients(model.parameters(), max_norm)
        if record.nonfinite is None and not isfinite(norm):
            record.nonfinite = next(((t, name) for name in grads if _is_bad(grads[name])), None)
        record.losses.append(loss.item())
        record.norms.append(norm)
        record.rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if scheduler:
            scheduler.step()
        if stop and stop(t, record.losses[-1]):
            break
    return record


def _is_bad(g):
    return not g.isfinite().all()
