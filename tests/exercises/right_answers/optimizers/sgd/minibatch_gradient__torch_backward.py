import torch


def minibatch_gradient(w, X, y, batch):
    w = torch.tensor(w, requires_grad=True)
    X, y = torch.tensor(X[batch]), torch.tensor(y[batch])
    loss = 0.5 * torch.nn.functional.mse_loss(X @ w, y)
    loss.backward()
    return w.grad.numpy()
