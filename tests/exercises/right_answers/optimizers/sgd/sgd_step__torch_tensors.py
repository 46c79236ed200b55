import torch


def sgd_step(w, g, lr):
    weights, gradient = torch.tensor(w), torch.tensor(g)
    return torch.sub(weights, gradient, alpha=lr).numpy()
