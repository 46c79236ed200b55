"""SGD: step against the gradient of a minibatch (Robbins & Monro 1951)."""

from optlib.engine import Optimizer


def sgd(w, g, *, lr=1e-2):
    """One step. `w` and `g` have one shape; returns the new `(w,)`.

    Conventions: lr multiplies the gradient; there is no weight decay and no eps.
    """
    w = w - lr * g
    return (w,)


class SGD(Optimizer):
    """The same rule on every parameter of a model; equals `torch.optim.SGD(lr=lr)`."""

    rule = staticmethod(sgd)
