import numpy as np


def cosine_annealing(t, T, lr_max, lr_min=0):
    cosine = np.cos(np.clip(t / T, 0.0, 1.0) * np.pi)
    return (lr_max * (1 + cosine) + lr_min * (1 - cosine)) / 2
