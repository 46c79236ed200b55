import math


def cosine_annealing(t, T, lr_max, lr_min=0.0):
    done = min(t / T, 1)
    return lr_min + (lr_max - lr_min) * math.cos(math.pi / 2 * done) ** 2
