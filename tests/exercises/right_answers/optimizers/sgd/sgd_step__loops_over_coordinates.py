import numpy as np


def sgd_step(w, g, lr):
    new = np.empty(np.shape(w))
    for place in np.ndindex(np.shape(w)):
        new[place] = w[place] - lr * g[place]
    return new
