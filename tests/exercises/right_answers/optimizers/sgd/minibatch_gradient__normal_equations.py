import numpy as np


def minibatch_gradient(w, X, y, batch):
    B, targets = X[batch], y[batch]
    return (B.T @ B @ w - B.T @ targets) * (1 / np.size(batch))
