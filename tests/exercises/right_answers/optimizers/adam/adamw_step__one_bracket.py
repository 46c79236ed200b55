import numpy as np


def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    beta1, beta2 = betas
    m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g**2 - v)
    root = np.sqrt(1 - beta2**t)
    pull = root / (1 - beta1**t) * m / (np.sqrt(v) + eps * root) + weight_decay * w
    return [w - lr * pull, m, v]
