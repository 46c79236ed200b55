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
    norm_layers = (
        nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
    )  # fmt: skip
    in_norm_layers = _parameters_of(m for m in model.modules() if isinstance(m, norm_layers))

    def apart(name, w):
        return w.ndim <= 1 or "bias" in name.rpartition(".")[2] or id(w) in in_norm_layers

    return _split(model, apart, {"weight_decay": 0.0, **options})


def hidden_matrices_apart(model, *, head=(), lr=3e-4):
    """Return two groups: the hidden layers' matrices for Muon, and the rest for AdamW at `lr`.

    The rest has `orthogonal=False`: every parameter of at most one dimension, embeddings, and the
    parameters of the modules in `head`, the output layer, which nothing but its place tells apart.
    Frozen parameters are left out, shared ones appear once, and an empty group is dropped.
    """
    heads = [head] if isinstance(head, nn.Module) else list(head)
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    ends = _parameters_of(embeddings + heads)

    def apart(name, w):
        return w.ndim <= 1 or id(w) in ends

    return _split(model, apart, {"orthogonal": False, "lr": lr})


def _parameters_of(modules):
    return {id(w) for module in modules for w in module.parameters()}


def _split(model, apart, options):
    groups = [{"params": []}, {"params": [], **options}]
    for name, w in model.named_parameters():
        if w.requires_grad:
            groups[apart(name, w)]["params"].append(w)
    return [group for group in groups if group["params"]]
