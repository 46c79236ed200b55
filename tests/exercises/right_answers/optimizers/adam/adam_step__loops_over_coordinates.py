import math

import numpy as np


def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    new = [np.zeros(np.shape(w)) for _ in range(3)]
    for i in np.ndindex(np.shape(w)):
        mi = beta1 * m[i] + (1.0 - beta1) * g[i]
        vi = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i]
        step = (mi / (1.0 - beta1**t)) / (math.sqrt(vi / (1.0 - beta2**t)) + eps)
        new[0][i], new[1][i], new[2][i] = w[i] - lr * step, mi, vi
    return new
