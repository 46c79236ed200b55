import numpy as np


def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    shape = np.shape(w)
    w, g, m, v = (np.ravel(a) for a in (w, g, m, v))
    means = np.array([[betas[0]], [betas[1]]]) * [m, v]
    means = means + np.stack([(1 - betas[0]) * g, (1 - betas[1]) * np.abs(g) ** 2])
    hats = means / (1 - np.array(betas)[:, None] ** t)
    new = w - lr * (hats[0] / (np.sqrt(hats[1]) + eps))
    return tuple(a.reshape(shape) for a in (new, *means))
