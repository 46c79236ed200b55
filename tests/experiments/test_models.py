"""The models of the experiments: drawn from their seed alone, and as torch draws its layers."""

import torch

from optlib.models import bigram, logistic, mlp


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_seed_says_all():
    one = weights(mlp(8, 3, seed=1))
    torch.manual_seed(5)
    assert one.equal(weights(mlp(8, 3, seed=1))) and not one.equal(weights(mlp(8, 3, seed=2)))


def test_the_draw_is_torchs_own_distribution():
    ours, torchs = mlp(100, 50, hidden=(400,)), torch.nn.Linear(100, 400)
    w = ours[0].weight
    assert w.abs().max() <= 0.1 and abs(w.std() / torchs.weight.std() - 1) < 0.03
    assert ours[2].in_features == 400 and ours[2].out_features == 50


def test_shapes_and_zero_starts():
    assert mlp(8, 3, hidden=(5, 4))(torch.ones(2, 8)).shape == (2, 3)
    assert not weights(logistic(8, 3)).any() and not weights(bigram(8, 3)).any()
    assert bigram(8, 3)(torch.tensor([1, 7])).shape == (2, 3)
