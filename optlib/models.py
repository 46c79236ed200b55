"""Small models for the experiments: each a function of sizes and a seed to a torch module."""

import torch
from torch import nn


def seeded(model, seed):
    """Draw all weights anew from `seed`, as torch's own layers do: uniform, by the fan-in.

    Layers other than Linear and Embedding keep their values.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                for p in layer.parameters():
                    p.uniform_(-bound, bound, generator=rng)
            elif isinstance(layer, nn.Embedding):
                layer.weight.normal_(generator=rng)
    return model


def logistic(inputs, classes, seed=0):
    """A linear classifier that starts at zero: its loss is convex, and the seed has no part."""
    model = nn.Linear(inputs, classes)
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


def bigram(words, classes, seed=0):
    """A row of scores for every last word, zero at first: `logistic`, given the word's number."""
    model = nn.Embedding(words, classes)
    nn.init.zeros_(model.weight)
    return model


def mlp(inputs, classes, seed=0, hidden=(64,), activation=nn.ReLU):
    """A multilayer perceptron."""
    sizes = [inputs, *hidden]
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), activation())]
    return seeded(nn.Sequential(*layers, nn.Linear(sizes[-1], classes)), seed)
