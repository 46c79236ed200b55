import cmath


def cosine_annealing(t, T, lr_max, lr_min=0.0):
    turn = cmath.exp(1j * cmath.pi * float(t) / float(T))
    return lr_min + 0.5 * (lr_max - lr_min) * (1 + turn).real if t < T else lr_min
