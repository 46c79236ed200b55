def nesterov_step(grad, w, v, lr, beta=0.9):
    ahead = w - beta * v
    push = lr * grad(ahead)
    return [ahead - push, beta * v + push]
