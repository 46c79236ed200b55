import numpy as np


def momentum_step(w, g, v, lr, beta=0.9):
    w, v = np.array(w), np.array(v)
    v *= beta
    v += lr * g
    w -= v
    return w, v
