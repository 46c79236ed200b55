import numpy as np


def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t > T:
        t = T
    return np.float64(lr_max - (lr_max - lr_min) * np.sin(0.5 * np.pi * t / T) ** 2)
