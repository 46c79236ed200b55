import numpy as np


def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    w, g, m, v = (np.array(a) for a in (w, g, m, v))
    b1, b2 = betas
    m *= b1
    m += (1 - b1) * g
    g *= g
    g *= 1 - b2
    v *= b2
    v += g
    root = np.array(v / (1 - b2**t)) ** 0.5
    root += eps
    w -= lr / (1 - b1**t) * m / root
    return w, m, v
