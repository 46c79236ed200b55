import math

import numpy as np


def adam_step(w, g, m, v, t, lr=0.001, betas=(0.9, 0.999), eps=10**-8):
    correction1, correction2 = (-math.expm1(t * math.log(beta)) for beta in betas)
    m, v = (beta * old + (1 - beta) * new for beta, old, new in zip(betas, (m, v), (g, g**2)))
    return w - lr * (m / correction1) / (np.sqrt(v / correction2) + eps), m, v
