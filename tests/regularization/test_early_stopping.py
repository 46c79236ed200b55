"""Early stopping: patience to the update, copies, NaN; Prechelt's criteria (R07)."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optlib.regularization.early_stopping import (
    EarlyStopping,
    generalization_loss,
    progress_quotient,
    training_progress,
)

VAL = [1, 0.8, 0.7, 0.72, 0.69, 0.71, 0.735, 0.74, 0.75]
TRAIN = [1, 0.7, 0.5, 0.42, 0.36, 0.33, 0.31, 0.30, 0.295]


def answers(losses, **settings):
    stopping = EarlyStopping(**settings)
    return [stopping.update(loss) for loss in losses], stopping


@pytest.mark.parametrize(
    "patience, stops", [(1, [3, 5, 6, 7, 8]), (2, [6, 7, 8]), (3, [7, 8]), (4, [8]), (5, [])]
)
def test_stops_after_patience_updates_without_improvement(patience, stops):
    said, stopping = answers(VAL, patience=patience)
    assert [t for t, stop in enumerate(said) if stop] == stops  # at 4 it improves and goes on
    assert (stopping.best_loss, stopping.best_step) == (0.69, 4)


def test_an_improvement_exceeds_min_delta():
    said, stopping = answers([1.0, 0.75, 0.5, 0.49], patience=2, min_delta=0.25)
    assert (stopping.best_loss, stopping.best_step) == (0.5, 2)  # .75 = 1 - .25 is none
    assert said == [False, False, False, False]
    said, stopping = answers([1.0, 1.0, 1.0], patience=2)
    assert said == [False, False, True] and stopping.best_step == 0


def test_before_the_first_improvement():
    stopping = EarlyStopping(3)
    assert (stopping.best_loss, stopping.best_step, stopping.best_weights) == (math.inf, -1, None)
    said = [stopping.update(loss, [1]) for loss in (math.nan, math.inf, math.nan)]
    assert said == [False, False, True]
    assert (stopping.best_loss, stopping.best_step, stopping.best_weights) == (math.inf, -1, None)
    assert not stopping.update(2.0, [2])
    assert (stopping.best_loss, stopping.best_step, stopping.best_weights) == (2.0, 3, [2])


def test_nan_is_no_improvement():
    said, stopping = answers([1.0, math.nan, math.nan, 0.5, math.nan], patience=2)
    assert said == [False, False, True, False, False]
    assert (stopping.best_loss, stopping.best_step) == (0.5, 3)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_the_best_weights_are_a_copy(make):
    weights, stopping = make([1.0, 2.0]), EarlyStopping(2)
    stopping.update(1.0, weights)
    weights += 1
    stopping.update(1.5, weights)
    assert stopping.best_weights.tolist() == [1.0, 2.0]
    stopping.update(0.5, weights)
    assert stopping.best_weights.tolist() == [2.0, 3.0]


def test_keeps_a_models_state():
    model, stopping = torch.nn.Linear(2, 1), EarlyStopping(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stopping.update(torch.tensor(1.0), model.state_dict())
    with torch.no_grad():
        model.weight.zero_()
    model.load_state_dict(stopping.best_weights)
    assert all(before[name].equal(value) for name, value in model.state_dict().items())
    assert isinstance(stopping.best_loss, float)


@given(
    st.lists(st.one_of(st.integers(0, 20), st.just(math.nan)), max_size=40),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_equal_to_counting(losses, patience, min_delta):
    stopping, best, step, bad = EarlyStopping(patience, min_delta), math.inf, -1, 0
    for t, loss in enumerate(losses):
        bad += 1
        if loss < best - min_delta:
            best, step, bad = loss, t, 0
        assert stopping.update(loss) is (bad >= patience)
        assert (stopping.best_loss, stopping.best_step) == (best, step)


def test_prechelts_criteria():
    """R07."""
    gl = [generalization_loss(VAL[: t + 1]) for t in range(9)]
    assert gl == pytest.approx([0, 0, 0, 2.8571, 0, 2.8986, 6.5217, 7.2464, 8.6957], abs=5e-5)
    assert next(t for t, loss in enumerate(gl) if loss > 5) == 6  # epoch 7, counted from 1
    progress = [training_progress(TRAIN[:t]) for t in range(5, 10)]
    assert progress == pytest.approx([655.5556, 400, 238.7097, 146.6667, 81.3559], abs=5e-5)
    quotients = [progress_quotient(VAL[:t], TRAIN[:t]) for t in range(6, 10)]
    assert quotients == pytest.approx([0.007246, 0.027321, 0.049407, 0.106884], abs=5e-7)
    assert training_progress([4.0, 2.0, 1.0], k=2) == pytest.approx(500)
    assert training_progress([4.0, 1.0, 2.5], k=2) == pytest.approx(750)  # the least, not the last


def test_training_that_stands_still():
    assert progress_quotient([1.0, 2.0], [0.5, 0.5], k=2) == math.inf
    assert progress_quotient([2.0, 1.0], [0.5, 0.5], k=2) == 0


@pytest.mark.parametrize(
    "message, call",
    [
        ("EarlyStopping: patience is 0; legal: an integer", lambda: EarlyStopping(0)),
        ("patience is 1.5", lambda: EarlyStopping(1.5)),
        ("min_delta is -1", lambda: EarlyStopping(1, -1)),
        ("min_delta is nan", lambda: EarlyStopping(1, math.nan)),
        ("k is 0", lambda: training_progress([1.0], 0)),
        ("train has 1 losses; legal: at least 2", lambda: training_progress([1.0], 2)),
    ],
)
def test_illegal_arguments_are_named(message, call):
    with pytest.raises(ValueError, match=message):
        call()
