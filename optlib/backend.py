"""The few functions that rules need beyond operators, for floats, arrays and torch tensors."""

import numpy as np

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch
    torch = None


def _is_tensor(x):
    # Whatever takes part in torch's functions: tensors, and what the compiler traces with.
    return hasattr(x, "__torch_function__")


def norm(x):
    """Return the square root of the sum of the squares of all elements, whatever the shape."""
    return torch.linalg.vector_norm(x) if _is_tensor(x) else np.linalg.norm(x)


def sign(x):
    """Return -1, 0 or 1 for every element."""
    return torch.sign(x) if _is_tensor(x) else np.sign(x)


def where(condition, x, y):
    """Return `x` where `condition` holds and `y` elsewhere; never branches on a tensor."""
    if isinstance(condition, bool | np.bool_):  # keeps Python numbers weak: no promotion
        return x if condition else y
    if _is_tensor(condition):
        return torch.where(condition, x, y)
    return np.where(condition, x, y)[()]
