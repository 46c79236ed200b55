"""Momentum: step along a running sum of past gradients (Polyak 1964; Sutskever et al. 2013)."""

from optlib.engine import Optimizer


def momentum(w, g, v, *, lr=1e-2, beta=0.9):
    """One step of the lesson's form. All arrays have one shape; returns the new `(w, v)`.

    Conventions: lr is inside the velocity, so a step taken at an old lr keeps coasting at that lr.
    torch keeps lr outside; both agree while lr is constant.
    """
    v = beta * v + lr * g
    w = w - v
    return w, v


def nesterov(w, g, v, *, lr=1e-2, beta=0.9):
    """One step of Nesterov's method, written at the look-ahead point (Bengio et al. 2013).

    `w` is the point where the next gradient is taken, so `g` is the gradient at `w`.
    Conventions: lr is inside the velocity, as in `momentum`.
    """
    v = beta * v + lr * g
    w = w - beta * v - lr * g
    return w, v


class Momentum(Optimizer):
    """`momentum` on every parameter; equals `torch.optim.SGD(momentum=beta)` at a constant lr."""

    rule = staticmethod(momentum)


class Nesterov(Optimizer):
    """`nesterov` on every parameter; equals torch's `SGD(nesterov=True)` at a constant lr."""

    rule = staticmethod(nesterov)
