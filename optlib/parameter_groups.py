"""Which parameters an optimizer treats alike: groups to hand to its constructor."""

try:
    from torch import nn
except ModuleNotFoundError:  # without torch there are no models to group
    nn = None


def norms_and_biases_apart(model, **options):
    """Return two groups: the weights, and the norm layers' parameters and biases, without decay.

    The second group has `weight_decay=0` and the `options`; what the first has, the optimizer's
    own arguments say. LARS and LAMB also leave it unscaled:
    `LAMB(norms_and_biases_apart(model, adapt=False), lr=0.01, weight_decay=0.1)`.

    Apart are: every parameter of a norm layer, of at most one dimension, or named a bias. Frozen
    parameters are left out, shared ones appear once, and an empty group is dropped.
    """
    return _split(model, _norms_and_biases(model), {"weight_decay": 0.0, **options})


def hidden_matrices_apart(model, *, head=(), **options):
    """Return two groups: the hidden layers' matrices for Muon, and the rest for AdamW.

    The second group has `orthogonal=False` and the `options`, as a rule a smaller lr:
    `MuonWithAdamW(hidden_matrices_apart(model, head=model.head, lr=3e-4), lr=0.02)`.

    Apart are: norm layers and biases as above, embeddings, and the parameters of `head`, a module
    or several: nothing but its place tells the output layer from a hidden one.
    """
    heads = [head] if isinstance(head, nn.Module) else list(head)
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    ends = _norms_and_biases(model) | _parameters_of(embeddings + heads)
    return _split(model, ends, {"orthogonal": False, **options})


def _norms_and_biases(model):
    layers = nn.LayerNorm | nn.RMSNorm  # the norm layers whose scale may be a matrix
    return _parameters_of(m for m in model.modules() if isinstance(m, layers)) | {
        id(w)
        for name, w in model.named_parameters()
        if w.ndim <= 1 or "bias" in name.rpartition(".")[2]
    }


def _parameters_of(modules):
    return {id(w) for module in modules for w in module.parameters()}


def _split(model, apart, options):
    groups = [{"params": []}, {"params": [], **options}]
    for w in model.parameters():
        if w.requires_grad:
            groups[id(w) in apart]["params"].append(w)
    return [group for group in groups if group["params"]]
