import numpy as np


def minibatch_gradient(w, X, y, batch):
    errors = np.take(X, batch, axis=0).dot(w) - np.take(y, batch)
    return np.mean(errors[:, None] * X[batch, :], axis=0)
