"""Early stopping: keep the weights that validated best, and stop when none better come."""

import copy
from math import inf

from optlib.legal import legal


class EarlyStopping:
    """Stop after `patience` updates in a row without an improvement of more than `min_delta`.

    `best_loss`, `best_step` (updates count from 0) and `best_weights` (a copy, of whatever was
    given) are those of the last improvement: infinity, -1 and None before the first. NaN never is
    one.
    Conventions: patience as in keras. torch's ReduceLROnPlateau acts one update later, and its
    threshold is relative.
    """

    @legal(patience="integer [1, inf)", min_delta="[0, inf)")
    def __init__(self, patience, min_delta=0.0):
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss, self.best_step, self.best_weights = inf, -1, None
        self.updates = 0

    def update(self, loss, weights=None):
        """Take the next validation loss; return True if it is time to stop."""
        step, self.updates = self.updates, self.updates + 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_step = float(loss), step
            self.best_weights = copy.deepcopy(weights)
        return step - self.best_step >= self.patience


def generalization_loss(val):
    """GL: by how many percent the last validation loss exceeds the lowest (Prechelt 1998).

    `val` holds the losses so far, one an epoch. GL_a stops as soon as this exceeds a.
    """
    return 100 * (val[-1] / min(val) - 1)


@legal(k="integer [1, inf)")
def training_progress(train, k=5):
    """P_k: by how many per mille the mean of the last k training losses exceeds the least of them.

    Raises ValueError if fewer than k losses are there.
    """
    if len(train) < k:
        raise ValueError(f"training_progress: train has {len(train)} losses; legal: at least {k}")
    strip = train[-k:]
    return 1000 * (sum(strip) / (k * min(strip)) - 1)


def progress_quotient(val, train, k=5):
    """PQ: the loss in generalization, weighed against the progress that training still makes.

    PQ_a stops as soon as this exceeds a. Training that stands still makes it infinite, or 0 while
    the last validation loss is the lowest.
    """
    loss, progress = generalization_loss(val), training_progress(train, k)
    return loss / progress if progress > 0 else inf if loss > 0 else 0.0
