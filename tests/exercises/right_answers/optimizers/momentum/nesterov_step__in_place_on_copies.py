import numpy as np


def nesterov_step(grad, w, v, lr, beta=0.9):
    w, v = np.array(w), np.array(v)
    v *= beta
    w -= v
    g = np.array(grad(w))       # a copy: the caller's buffer stays as it is
    g *= lr
    v += g
    w -= g
    return w, v
