"""LAMB: Adam's direction, at a length in proportion to the layer's weights (You et al. 2020)."""

from optlib.backend import norm, where
from optlib.engine import Optimizer
from optlib.optimizers.adam import adamw


def lamb(w, g, m, v, t, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01):
    """One step of one layer (Algorithm 2 of arXiv version 5). Returns the new `(w, m, v)`.

    All arrays have one shape, t is 1 on the first step. Norms are over all elements of the layer;
    the ratio is 1 if either norm is 0.

    Conventions: m and v are bias-corrected, as in version 5 (version 1 and kozistr's package do
    not; DeepSpeed corrects the step size after the ratio). eps is outside the root. The decay is
    inside the norm of the denominator, as in the paper, timm, apex and optax; keras decays apart.
    phi is the identity: no clamp of the norms (version 1: 10) or of the ratio (DeepSpeed). The
    gradients are not clipped first; timm and apex clip them to a global norm of 1 by default.
    """
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    r = m_hat / (v_hat**0.5 + eps) + weight_decay * w
    w_norm = norm(w)
    r_norm = norm(r)
    denominator = where(r_norm > 0, r_norm, 1.0)
    ratio = where((w_norm > 0) & (r_norm > 0), w_norm / denominator, 1.0)
    w = w - lr * ratio * r
    return w, m, v


def lamb_or_adamw(
    w, g, m, v, t, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, adapt=True
):
    """`lamb`, or the same step at a ratio of 1 if `adapt` is False: AdamW.

    Conventions: `adapt` says it, nothing is guessed; timm and apex drop the ratio of every group
    whose weight_decay is 0 (apex unless `use_nvlamb`, timm unless `always_adapt`).
    """
    rule = lamb if adapt else adamw
    return rule(w, g, m, v, t, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


class LAMB(Optimizer):
    """`lamb` on every parameter; on parameter groups with `adapt=False`, AdamW.

    Biases and the scales of norm layers belong into such a group; `optlib.parameter_groups` makes
    it: `LAMB(norms_and_biases_apart(model, adapt=False), lr=...)`.
    """

    rule = staticmethod(lamb_or_adamw)
