"""Adagrad: divide the gradient by the root of the sum of all its squares (Duchi et al. 2011)."""

from optlib.engine import Optimizer


def adagrad(w, g, s, *, lr=1e-2, eps=1e-10):
    """One step. All arrays have one shape; returns the new `(w, s)`.

    Conventions: s starts at 0 and eps is outside the root, as in the paper (its delta) and torch;
    keras and optax start s at 0.1 and add eps inside. The rate has no decay of its own.
    """
    s = s + g**2
    w = w - lr * g / (s**0.5 + eps)
    return w, s


class Adagrad(Optimizer):
    """The same rule on every parameter; equals `torch.optim.Adagrad`."""

    rule = staticmethod(adagrad)
