"""Schedule-free: average the weights instead of lowering the learning rate (Defazio et al. 2024).

Three points: z takes the steps, x is the average of all z and the answer, and w, between them, is
where the gradient is taken (the paper's y). While training, the model holds w.
"""

from optlib.backend import where
from optlib.engine import Optimizer, torch

_WHOLE = (lambda x: x >= 0 and x == int(x), "a whole number >= 0")


def between(x, z, beta):
    """Return the point where the gradient is taken."""
    return (1 - beta) * z + beta * x


def first(t):
    """Return 1 at the first step and 0 later: all state starts at 0, and z should start at w."""
    return where(t == 1, 1.0, 0.0)


def warmup_and_share(t, lr, warmup_steps):
    """Return the learning rate of step t, and the share that the newest z gets in the average.

    The rate climbs as t / warmup_steps and then stays; the share is the square of the rate over
    the sum of its squares so far, in closed form: 1 / t without a warmup.
    """
    top = max(1, warmup_steps)
    s = where(t < top, t, top)
    return lr * s / top, 1 / ((s + 1) * (2 * s + 1) / (6 * s) + t - s)


def schedule_free_sgd(w, g, x, z, t, *, lr=1.0, beta=0.9, weight_decay=0.0, warmup_steps=0):
    """One step (equations 3 to 5). All arrays have one shape; returns the new `(w, x, z)`.

    `g` is the gradient at w, t is 1 on the first step, where x and z are 0 and z becomes w.

    Conventions: lr is the one before averaging, constant but for the warmup; the authors' package
    weights by the largest lr so far, which agrees. The decay is lr * weight_decay * w, taken at w.
    """
    lr, share = warmup_and_share(t, lr, warmup_steps)
    z = z + first(t) * w - lr * (g + weight_decay * w)
    x = (1 - share) * x + share * z
    w = between(x, z, beta)
    return w, x, z


def schedule_free_adamw(
    w, g, v, x, z, t, *, lr=2.5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, warmup_steps=0
):
    """One step (Algorithm 1). All arrays have one shape; returns the new `(w, v, x, z)`.

    beta1 is no momentum: it says how near to the average the gradient is taken.

    Conventions: as in `schedule_free_sgd`; v is bias-corrected itself, eps outside the root. The
    code of the paper's experiments puts that correction, `(1 - beta2**t) ** 0.5`, into lr instead:
    the first steps then also decay less and weigh less in the average.
    """
    beta1, beta2 = betas
    lr, share = warmup_and_share(t, lr, warmup_steps)
    v = beta2 * v + (1 - beta2) * g**2
    v_hat = v / (1 - beta2**t)
    z = z + first(t) * w - lr * (g / (v_hat**0.5 + eps) + weight_decay * w)
    x = (1 - share) * x + share * z
    w = between(x, z, beta1)
    return w, v, x, z


class _TwoPoints:
    """What the model holds: w after `train()`, the average x after `eval()`.

    Train at w, but evaluate and save x: call `optimizer.eval()` beside `model.eval()`, and
    `optimizer.train()` beside `model.train()`. A step at x would take the gradient at the wrong
    point, so it raises RuntimeError. Batch norm's running statistics belong to w: after `eval()`
    pass some batches through the model in training mode before you judge x.
    """

    def eval(self):
        """Put the average x into the model. Calling it twice changes nothing."""
        self._hold(training=False)

    def train(self):
        """Put back w, where gradients are taken. A new optimizer is in this mode."""
        self._hold(training=True)

    def _hold(self, training):
        for group in self.param_groups:
            if group.get("training", True) == training:
                continue
            beta = group["beta"] if "beta" in group else group["betas"][0]
            for w in group["params"]:
                if state := self.state.get(w):
                    x, z = state["x"], state["z"]
                    with torch.no_grad():
                        w.copy_(between(x, z, beta) if training else x)
            group["training"] = training

    def step(self, closure=None):
        """One step. Raises RuntimeError after `eval()`: call `train()` first."""
        if not all(group.get("training", True) for group in self.param_groups):
            raise RuntimeError("the model holds the average: call optimizer.train() before step()")
        return super().step(closure)


class ScheduleFreeSGD(_TwoPoints, Optimizer):
    __doc__ = "`schedule_free_sgd` on every parameter.\n" + _TwoPoints.__doc__
    rule = staticmethod(schedule_free_sgd)
    legal = {"warmup_steps": _WHOLE}


class ScheduleFreeAdamW(_TwoPoints, Optimizer):
    __doc__ = "`schedule_free_adamw` on every parameter.\n" + _TwoPoints.__doc__
    rule = staticmethod(schedule_free_adamw)
    legal = {"warmup_steps": _WHOLE}
