import torch


def nesterov_step(grad, w, v, lr, beta=0.9):
    w, rolled = torch.tensor(w), beta * torch.tensor(v)
    g = torch.tensor(grad((w - rolled).numpy()))
    v = torch.add(rolled, g, alpha=lr)
    return (w - v).numpy(), v.numpy()
