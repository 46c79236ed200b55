import numpy as np


def cosine_annealing(t, T, lr_max, lr_min=0.0):
    t = np.asarray(t, dtype=np.float64)
    falling = lr_min + 0.5 * (lr_max - lr_min) * (1 + np.cos(t * np.pi / T))
    return np.where(t <= T, falling, lr_min)
