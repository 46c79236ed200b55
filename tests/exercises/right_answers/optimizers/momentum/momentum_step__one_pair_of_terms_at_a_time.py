def momentum_step(w, g, v, lr, beta=0.9):
    w = w - beta * v - lr * g
    return w, lr * (g + beta * v / lr)
