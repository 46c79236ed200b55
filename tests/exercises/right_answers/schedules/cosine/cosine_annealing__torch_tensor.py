import torch


def cosine_annealing(t, T, lr_max, lr_min=0.0):
    part = torch.tensor(t / T, dtype=torch.float64).clamp(max=1)
    return (lr_min + (lr_max - lr_min) * (1 + torch.cos(torch.pi * part)) / 2).item()
