"""Batch and layer normalization: subtract the mean, divide by the spread, learn both anew.

Arrays are NumPy's or torch's, x is (batch, features); gamma, beta and the running statistics have
one element a feature.
Conventions, as in torch: eps under the root; the batch is normalized by its biased variance, while
running_var keeps the unbiased one; momentum weighs the new value. keras weighs the old (0.99),
keeps the biased variance and has eps = 1e-3.
"""

from optlib.legal import legal

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch
    torch = None


def normalize(x, mean, var, gamma, beta, eps=1e-5):
    """The lesson's formula, then a learnable scale and shift."""
    x_hat = (x - mean) / (var + eps) ** 0.5
    return gamma * x_hat + beta


def moments(x):
    """Return the mean and the biased variance of every column."""
    mean = x.mean(0)
    return mean, ((x - mean) ** 2).mean(0)


@legal(momentum="[0, 1]", eps="[0, inf)")
def batch_norm(x, gamma, beta, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """Return (y, running_mean, running_var) (Ioffe & Szegedy 2015, algorithms 1 and 2).

    Training needs two rows at least, or raises ValueError; evaluation takes any number and returns
    the running statistics as they came.
    """
    if x.ndim != 2:
        raise ValueError(f"batch_norm: x has shape {tuple(x.shape)}; legal: (batch, features)")
    if not training:
        return normalize(x, running_mean, running_var, gamma, beta, eps), running_mean, running_var
    n = len(x)
    if n < 2:
        raise ValueError(f"batch_norm: x has {n} row; legal: at least 2 in training")
    mean, var = moments(x)
    y = normalize(x, mean, var, gamma, beta, eps)
    running_mean = (1 - momentum) * running_mean + momentum * mean
    running_var = (1 - momentum) * running_var + momentum * var * n / (n - 1)
    return y, running_mean, running_var


def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Return (dx, dgamma, dbeta), given dy, the gradient at y; through mean and variance too."""
    n = len(x)
    mean, var = moments(x)
    x_hat = normalize(x, mean, var, 1, 0, eps)
    dbeta = dy.sum(0)
    dgamma = (dy * x_hat).sum(0)
    dx = gamma / (var + eps) ** 0.5 * (dy - dbeta / n - x_hat * dgamma / n)
    return dx, dgamma, dbeta


def layer_norm(x, gamma, beta, eps=1e-5):
    """Normalize every row over its own features, alike in training and evaluation (Ba et al. 2016).

    Conventions: the biased variance, over the last axis only; x may have any number of axes.
    """
    mean = x.mean(-1)[..., None]
    var = ((x - mean) ** 2).mean(-1)[..., None]
    return normalize(x, mean, var, gamma, beta, eps)


class BatchNorm(torch.nn.Module if torch else object):
    """`batch_norm` as a layer on (batch, features); equals torch.nn.BatchNorm1d."""

    @legal(momentum="[0, 1]", eps="[0, inf)", features="integer [1, inf)")
    def __init__(self, features, momentum=0.1, eps=1e-5):
        if torch is None:
            raise ImportError("BatchNorm is a torch layer: pip install torch")
        super().__init__()
        self.gamma = torch.nn.Parameter(torch.ones(features))
        self.beta = torch.nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.momentum = momentum
        self.eps = eps

    def forward(self, x):
        y, mean, var = batch_norm(
            x,
            self.gamma,
            self.beta,
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
        )
        if self.training:
            self.running_mean.copy_(mean.detach())
            self.running_var.copy_(var.detach())
        return y


class LayerNorm(torch.nn.Module if torch else object):
    """`layer_norm` as a layer over the last axis; equals torch.nn.LayerNorm(features)."""

    @legal(eps="[0, inf)", features="integer [1, inf)")
    def __init__(self, features, eps=1e-5):
        if torch is None:
            raise ImportError("LayerNorm is a torch layer: pip install torch")
        super().__init__()
        self.gamma = torch.nn.Parameter(torch.ones(features))
        self.beta = torch.nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x):
        return layer_norm(x, self.gamma, self.beta, self.eps)
