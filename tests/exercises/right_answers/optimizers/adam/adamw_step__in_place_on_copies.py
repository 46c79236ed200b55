import numpy as np


def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    w, m, v = np.array(w), np.array(m), np.array(v)
    beta1, beta2 = betas
    m *= beta1
    m += g * (1 - beta1)
    v *= beta2
    v += g * g * (1 - beta2)
    w -= weight_decay * (lr * w)
    w -= m * lr / (1 - beta1**t) / (eps + np.sqrt(v / (1 - beta2**t)))
    return w, m, v
