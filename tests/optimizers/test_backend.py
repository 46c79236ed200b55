"""norm, sign and where mean the same for floats, NumPy arrays and torch tensors."""

import numpy as np
import pytest
import torch

from optlib.backend import norm, sign, where

KINDS = [np.asarray, torch.tensor]


@pytest.mark.parametrize("kind", KINDS)
def test_norm_is_over_all_elements(kind):
    assert float(norm(kind([[3.0, 0.0], [0.0, 4.0]]))) == 5.0
    assert float(norm(kind(np.full((2, 2, 2, 2), -1.0)))) == 4.0
    assert float(norm(kind(-2.0))) == 2.0
    assert float(norm(kind(np.zeros((0, 3))))) == 0.0


def test_norm_of_a_float():
    assert norm(-2.5) == 2.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_stays(dtype):
    array = np.ones((2, 2), dtype)
    tensor = torch.from_numpy(array)
    for x in (array, tensor):
        scaled = x * where(norm(x) > 0, norm(x) / 2, 1.0) + where(x > 0, x, 0.0)
        assert str(scaled.dtype).endswith(dtype)


def test_norm_of_bfloat16_stays_bfloat16():
    assert norm(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_where_chooses_element_by_element(kind):
    x = kind([-1.0, 0.0, 2.0])
    assert where(x > 0, x, 9.0).tolist() == [9.0, 9.0, 2.0]
    assert where(x > 0, 1.0, x).tolist() == [-1.0, 0.0, 1.0]
    assert float(where(norm(x) > 0, norm(x), 1.0)) == pytest.approx(5**0.5)
    assert float(where(norm(x * 0) > 0, norm(x), 1.0)) == 1.0


def test_where_of_floats_is_a_number():
    assert where(1.0 > 0, 2.0, 3.0) == 2.0
    assert where(False, 2.0, 3.0) == 3.0


@pytest.mark.parametrize("kind", [*KINDS, list])
def test_sign_of_zero_is_zero(kind):
    values = [-2.0, 0.0, 3.0]
    signs = [sign(x) for x in values] if kind is list else sign(kind(values)).tolist()
    assert signs == [-1.0, 0.0, 1.0]


def test_no_branch_on_a_tensor():
    """A norm compared and chosen from inside vmap: a Python branch would raise there."""
    batch = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    ratio = torch.vmap(lambda w: where(norm(w) > 0, norm(w), 1.0))(batch)
    assert ratio.tolist() == [5.0, 1.0]
