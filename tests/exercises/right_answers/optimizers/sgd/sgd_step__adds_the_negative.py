def sgd_step(weights, gradient, lr):
    return weights.__add__(gradient * (-lr))
