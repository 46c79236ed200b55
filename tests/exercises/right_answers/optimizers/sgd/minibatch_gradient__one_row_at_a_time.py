def minibatch_gradient(w, X, y, batch):
    total = 0 * w
    for i in batch:
        total += (X[i] @ w - y[i]) * X[i]
    return total / len(batch)
