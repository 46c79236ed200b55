"""RMSprop: divide the gradient by its own typical size (Tieleman & Hinton 2012, lecture 6e)."""

from optlib.engine import Optimizer


def rmsprop(w, g, s, *, lr=1e-3, beta=0.9, eps=1e-8):
    """One step. All arrays have one shape; returns the new `(w, s)`.

    Conventions: eps is outside the root, as in torch; s starts at 0; beta is torch's `alpha`,
    whose default there is 0.99.
    """
    s = beta * s + (1 - beta) * g**2
    w = w - lr * g / (s**0.5 + eps)
    return w, s


class RMSprop(Optimizer):
    """The same rule on every parameter; equals `torch.optim.RMSprop(alpha=beta)`."""

    rule = staticmethod(rmsprop)
