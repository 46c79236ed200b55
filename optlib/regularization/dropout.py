"""Dropout: switch units off at random while training, so that none can be relied on.

Conventions: p is the probability to drop, and what is kept is scaled by 1 / (1 - p) in training
(inverted dropout, as in torch and keras). In Srivastava et al. 2014 p is the probability to keep,
and the weights are scaled at test time.
"""

import numpy as np

from optlib.legal import legal

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch
    torch = None


@legal(p="[0, 1]")
def drop(x, keep_mask, p):
    """The rule, chance being an argument: keep x where keep_mask is 1, scaled to the same mean."""
    return x * keep_mask / (1 - p) if p < 1 else 0 * x


@legal(p="[0, 1]")
def dropout(x, p, rng, training=True):
    """Drop each element of the array x with probability p, by a numpy Generator `rng`.

    In evaluation it returns x itself and draws nothing.
    """
    return drop(x, rng.random(np.shape(x)) >= p, p) if training else x


class Dropout(torch.nn.Module if torch else object):
    """`drop` as a layer; equals torch.nn.Dropout for the same mask. `generator` is torch's."""

    @legal(p="[0, 1]")
    def __init__(self, p=0.5, generator=None):
        if torch is None:
            raise ImportError("Dropout is a torch layer: pip install torch")
        super().__init__()
        self.p = p
        self.generator = generator

    def forward(self, x):
        if not self.training:
            return x
        chance = torch.rand(x.shape, generator=self.generator, device=x.device)
        return drop(x, chance >= self.p, self.p)

    def extra_repr(self):
        return f"p={self.p}"
