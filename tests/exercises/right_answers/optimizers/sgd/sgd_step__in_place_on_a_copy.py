import numpy as np


def sgd_step(w, g, lr):
    out = np.array(w, dtype=float, copy=True)
    out -= np.multiply(lr, g)
    return out
