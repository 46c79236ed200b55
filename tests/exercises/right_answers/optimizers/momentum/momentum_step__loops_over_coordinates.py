import numpy as np


def momentum_step(w, g, v, lr, beta=0.9):
    new_w, new_v = np.zeros(np.shape(w)), np.zeros(np.shape(w))
    for place in np.ndindex(np.shape(w)):
        new_v[place] = lr * g[place] + v[place] * beta
        new_w[place] = w[place] - new_v[place]
    return [new_w, new_v]
