"""Lion: step by the sign of a momentum, so every weight moves equally far (Chen et al. 2023)."""

from optlib.backend import sign
from optlib.engine import Optimizer


def lion(w, g, m, *, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    """One step (Algorithm 2). All arrays have one shape; returns the new `(w, m)`.

    beta1 mixes what the step is the sign of, beta2 what is remembered; the memory moves last.

    Conventions: sign(0) is 0. The decay is decoupled and times lr, from the old w, as in the paper
    and its code. There is no eps and no bias correction: a sign has no size to correct.
    """
    beta1, beta2 = betas
    c = beta1 * m + (1 - beta1) * g
    w = w - lr * (sign(c) + weight_decay * w)
    m = beta2 * m + (1 - beta2) * g
    return w, m


class Lion(Optimizer):
    """The same rule on every parameter of a model."""

    rule = staticmethod(lion)
