def heavy_ball(w, g, v, lr, beta):
    v = lr * g + beta * v
    return w - v, v


def nesterov_step(grad, w, v, lr, beta=0.9):
    return heavy_ball(w, grad(w + -(v * beta)), v, lr, beta)
