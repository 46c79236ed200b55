import numpy as np


def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    def one(w, g, m, v):
        m = betas[0] * m + g - betas[0] * g
        v = betas[1] * v + g * g - betas[1] * g * g
        step = m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)) ** 0.5 + eps)
        return w - lr * (weight_decay * w + step), m, v

    return np.vectorize(one)(w, g, m, v)
