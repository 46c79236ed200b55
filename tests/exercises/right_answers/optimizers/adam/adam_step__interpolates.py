import numpy as np


def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = m + (1 - beta1) * (g - m)
    v = v - (1 - beta2) * (v - np.square(g))
    m_hat, v_hat = m / (1 - np.power(beta1, t)), v / (1 - np.power(beta2, t))
    return [w - (lr * m_hat) / (v_hat**0.5 + eps), m, v]
