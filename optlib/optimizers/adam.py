"""Adam: divide the smoothed gradient by its own typical size (Kingma & Ba 2015, Algorithm 1)."""

from optlib.engine import Optimizer


def adam(w, g, m, v, t, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """One step. All arrays have one shape, t is 1 on the first step; returns the new `(w, m, v)`.

    Conventions: eps is outside the root and after the bias correction, as in the paper and torch.
    """
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    w = w - lr * m_hat / (v_hat**0.5 + eps)
    return w, m, v


def adamw(w, g, m, v, t, *, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2).

    Conventions: the decay multiplies the old w by `1 - lr * weight_decay`, as in torch; the paper
    multiplies by the schedule's factor alone.
    """
    w = w - lr * weight_decay * w
    return adam(w, g, m, v, t, lr=lr, betas=betas, eps=eps)


class Adam(Optimizer):
    """`adam` on every parameter; equals `torch.optim.Adam`."""

    rule = staticmethod(adam)


class AdamW(Optimizer):
    """`adamw` on every parameter; equals `torch.optim.AdamW`."""

    rule = staticmethod(adamw)
