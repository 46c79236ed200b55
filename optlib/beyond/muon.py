"""Muon: give a matrix a step whose singular values are all about one (Jordan et al. 2024)."""

from optlib.backend import norm, where
from optlib.engine import Optimizer
from optlib.optimizers.adam import adamw


def orthogonalize(u, steps=5, eps=1e-7):
    """Drive every singular value of the matrix `u` towards one, keeping its singular vectors.

    Each Newton-Schulz step applies the odd quintic a x + b x^3 + c x^5 to the singular values. Its
    coefficients are Jordan's: they lift small values fast and do not converge, so that values above
    a hundredth of the norm end between 0.68 and 1.14. A convolution's kernel is a matrix with one
    row per output.

    Conventions: the arithmetic is in the dtype of `u`; Jordan and torch work in bfloat16. The norm
    is at least eps, as in torch; Jordan adds eps to it.
    """
    if u.ndim > 2:
        return orthogonalize(u.reshape(len(u), -1), steps, eps).reshape(u.shape)
    if u.shape[0] > u.shape[1]:  # the smaller Gram matrix is cheaper
        return orthogonalize(u.T, steps, eps).T
    a, b, c = 3.4445, -4.7750, 2.0315
    size = norm(u)
    x = u / where(size > eps, size, eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def muon(w, g, m, *, lr=0.02, beta=0.95, weight_decay=0.0):
    """One step of one matrix. All arrays have one shape; returns the new `(w, m)`.

    Conventions: the momentum is a weighted mean with Nesterov's look-ahead, as in torch and in
    Jordan's code. The decay is decoupled and times lr, from the old w. A matrix with more rows
    than columns steps further by the root of their ratio, as in Jordan's code; Moonshot's form
    (torch's `match_rms_adamw`) takes 0.2 times the root of the longer side.
    """
    m = beta * m + (1 - beta) * g
    u = orthogonalize(beta * m + (1 - beta) * g)
    rows, columns = len(w), w[0].reshape(-1).shape[0]
    w = w - lr * weight_decay * w - lr * max(1, rows / columns) ** 0.5 * u
    return w, m


def muon_or_adamw(
    w, g, m, v, t, *, lr=0.02, beta=0.95, weight_decay=0.0,
    betas=(0.9, 0.999), eps=1e-8, orthogonal=True,
):  # fmt: skip
    """`muon` for a matrix; `adamw` for a vector or a scalar, or if `orthogonal` is False.

    Conventions: as Jordan's `MuonWithAuxAdam`, but the group says so by `orthogonal`, and a
    parameter that is no matrix falls back by itself. v stays zero where muon steps.
    """
    if orthogonal and w.ndim >= 2:
        return *muon(w, g, m, lr=lr, beta=beta, weight_decay=weight_decay), v
    return adamw(w, g, m, v, t, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


class Muon(Optimizer):
    """`muon` on every parameter, all of them matrices; `torch.optim.Muon` but for its bfloat16.

    Raises ValueError for a parameter of fewer than two dimensions.
    """

    rule = staticmethod(muon)

    def _check(self, group):
        super()._check(group)
        _refuse_compile(group)
        for w in group["params"]:
            if w.ndim < 2:
                raise ValueError(
                    f"Muon steps matrices, and this parameter has shape {tuple(w.shape)}; "
                    "MuonWithAdamW takes all"
                )


class MuonWithAdamW(Optimizer):
    """`muon` on the matrices of a model and `adamw` on the rest, at one learning rate a group.

    Embeddings and the output layer are matrices that belong to AdamW, and AdamW wants a smaller
    lr: `MuonWithAdamW(hidden_matrices_apart(model, head=model.head, lr=3e-4), lr=0.02)` of
    `optlib.parameter_groups`. Two optimizers, `Muon` and `AdamW`, save the unused v.
    """

    rule = staticmethod(muon_or_adamw)
    legal = {"orthogonal": (lambda x: isinstance(x, bool), "True or False")}

    def _check(self, group):
        super()._check(group)
        if group["orthogonal"]:
            _refuse_compile(group)


def _refuse_compile(group):
    if group["impl"] == "compile":  # its kernel sees flat tensors, and this rule needs the matrix
        raise ValueError("impl is 'compile'; legal: 'eager', where matrices are orthogonalized")
