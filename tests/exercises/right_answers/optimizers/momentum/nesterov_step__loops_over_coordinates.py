import numpy as np


def nesterov_step(grad, w, v, lr, beta=0.9):
    ahead, new_w, new_v = (np.array(w) for _ in range(3))
    for place in np.ndindex(np.shape(w)):
        ahead[place] = w[place] - beta * v[place]
    g = np.asarray(grad(ahead))
    for place in np.ndindex(np.shape(w)):
        new_v[place] = beta * v[place] + lr * g[place]
        new_w[place] = w[place] - new_v[place]
    return new_w, new_v
