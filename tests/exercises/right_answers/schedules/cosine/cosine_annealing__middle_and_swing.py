from math import cos, pi


def cosine_annealing(t, T, lr_max, lr_min=0.0):
    middle, swing = (lr_max + lr_min) / 2, (lr_max - lr_min) / 2
    return middle + swing * cos(pi * min(t, T) / T)
