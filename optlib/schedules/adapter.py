"""Any schedule, a pure function of t, as a torch scheduler: no second statement of it."""


def factor(schedule, lr):
    """Return the function of t that LambdaLR wants: schedule(t) as a multiple of the base rate."""
    if not 0 < lr < float("inf"):
        raise ValueError(f"factor: lr is {lr!r}; legal: a number in (0, inf)")
    return lambda t: schedule(t) / lr


def lambda_lr(optimizer, schedule, last_epoch=-1):
    """Return a torch LambdaLR that gives `optimizer` the rates of `schedule`, one per `step()`.

    t is how often `step()` was called, after each optimizer step. Give parameters by `partial`:
    `lambda_lr(optimizer, partial(warmup_cosine, warmup_steps=100, total_steps=1000, lr_max=0.1))`.
    Conventions: the base rate is the optimizer's own lr. A parameter group with another lr keeps
    its ratio to that at every t.
    """
    from torch.optim.lr_scheduler import LambdaLR  # here: schedules run without torch

    return LambdaLR(optimizer, factor(schedule, float(optimizer.defaults["lr"])), last_epoch)
