"""Groups: every parameter in exactly one, norm layers and biases apart, whatever their shape."""

import pytest
import torch
from torch import nn

from optlib.large_batch.lamb import LAMB
from optlib.large_batch.lars import LARS
from optlib.optimizers.adam import AdamW
from optlib.parameter_groups import hidden_matrices_apart, norms_and_biases_apart


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.convolution = nn.Conv1d(4, 4, 3)
        self.batch_norm = nn.BatchNorm1d(4)
        self.plane_norm = nn.LayerNorm((4, 3))  # its scale has two dimensions
        self.linear = nn.Linear(4, 4)
        self.position_bias = nn.Parameter(torch.zeros(3, 4))
        self.layer_scale = nn.Parameter(torch.ones(4))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
        self.head = nn.Linear(4, 5)


def names(model, groups):
    known = {id(w): name for name, w in model.named_parameters()}
    return [{known[id(w)] for w in group["params"]} for group in groups]


def test_norms_and_biases_are_apart():
    model = Model()
    groups = norms_and_biases_apart(model, adapt=False)
    weights, rest = names(model, groups)
    assert weights == {"embedding.weight", "convolution.weight", "linear.weight", "head.weight"}
    everything = {name for name, w in model.named_parameters() if w.requires_grad}
    assert rest == everything - weights
    assert set(groups[0]) == {"params"}
    assert {**groups[1], "params": None} == {"params": None, "weight_decay": 0.0, "adapt": False}


def test_the_optimizers_take_the_groups():
    model = Model()
    for cls in LARS, LAMB:
        optimizer = cls(norms_and_biases_apart(model, adapt=False), lr=0.1, weight_decay=0.2)
        assert [(g["weight_decay"], g["adapt"]) for g in optimizer.param_groups] == [
            (0.2, True),
            (0.0, False),
        ]
    optimizer = AdamW(norms_and_biases_apart(model), weight_decay=0.2)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.2, 0.0]
    torch.optim.AdamW(norms_and_biases_apart(model))


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.RMSNorm((2, 4)), nn.InstanceNorm2d(4, affine=True)])  # fmt: skip  # noqa: E501
def test_every_norm_layer_counts(norm):
    (group,) = norms_and_biases_apart(norm)
    assert group["weight_decay"] == 0.0 and len(group["params"]) == len(list(norm.parameters()))


def test_a_shared_weight_appears_once_and_an_empty_group_not_at_all():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    assert [len(group["params"]) for group in norms_and_biases_apart(model)] == [1]


def test_hidden_matrices_leave_the_ends_to_adamw():
    model = Model()
    groups = hidden_matrices_apart(model, head=model.head, lr=1e-3)
    matrices, rest = names(model, groups)
    assert matrices == {"convolution.weight", "linear.weight"}
    assert "embedding.weight" in rest and "head.weight" in rest and "temperature" in rest
    assert groups[1]["lr"] == 1e-3 and groups[1]["orthogonal"] is False
