import torch


def momentum_step(w, g, v, lr, beta=0.9):
    velocity = torch.tensor(v).mul(beta).add(torch.tensor(g), alpha=lr)
    return (torch.tensor(w) - velocity).numpy(), velocity.numpy()
