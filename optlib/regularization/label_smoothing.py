"""Label smoothing: ask for a little less than certainty (Szegedy et al. 2016, section 7)."""

import numpy as np

from optlib.legal import legal

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch
    torch = None


@legal(smoothing="[0, 1]")
def smooth_labels(q, smoothing):
    """Mix the distribution q over the classes (the last axis) with the uniform one.

    Conventions: the true class keeps a share of the uniform part, as in the paper and torch:
    1 - smoothing + smoothing / classes, not 1 - smoothing.
    """
    return (1 - smoothing) * q + smoothing / q.shape[-1]


def smoothed_cross_entropy(logits, labels, smoothing=0.1):
    """The mean cross-entropy of (batch, classes) logits with smoothed integer labels.

    Conventions: torch's `cross_entropy(label_smoothing=...)`, the mean taken over the batch.
    """
    log_p = _log_softmax(logits)
    q = smooth_labels(_one_hot(labels, log_p), smoothing)
    return -(q * log_p).sum(-1).mean()


def _log_softmax(z):
    if torch is not None and isinstance(z, torch.Tensor):
        return z.log_softmax(-1)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _one_hot(labels, like):
    if torch is not None and isinstance(like, torch.Tensor):
        return torch.nn.functional.one_hot(labels, like.shape[-1]).to(like)
    return np.eye(like.shape[-1], dtype=like.dtype)[labels]
