import numpy as np


def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * (g * g)
    root = np.sqrt(1 - betas[1] ** t)
    return w - lr * root / (1 - betas[0] ** t) * m / (np.sqrt(v) + eps * root), m, v
