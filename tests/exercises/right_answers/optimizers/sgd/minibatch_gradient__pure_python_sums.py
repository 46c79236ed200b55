import numpy as np


def minibatch_gradient(w, X, y, batch):
    g = [0.0] * len(w)
    for i in batch:
        e = sum(X[i, k] * w[k] for k in range(len(w))) - y[i]
        for k in range(len(w)):
            g[k] += e * X[i, k] / len(batch)
    return np.array(g)
