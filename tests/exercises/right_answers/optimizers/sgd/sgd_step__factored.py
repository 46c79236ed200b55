def sgd_step(w, g, lr):
    return lr * (w / lr - g)
