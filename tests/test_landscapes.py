"""Every landscape: its gradient is its slope, its minimum a minimum, its start in the picture."""

import numpy as np
import pytest

from optlib.landscapes import LANDSCAPES


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_gradient_is_the_slope(name):
    landscape, h = LANDSCAPES[name], 1e-20
    for x, y in np.random.default_rng(0).uniform(-3, 3, size=(50, 2)):
        # The complex step takes no difference, so it is exact to rounding.
        slope = landscape.value(x + 1j * h, y).imag / h, landscape.value(x, y + 1j * h).imag / h
        np.testing.assert_allclose(landscape.gradient(x, y), slope, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_minimum_is_the_lowest_point_of_the_picture(name):
    landscape = LANDSCAPES[name]
    assert landscape.value(*landscape.minimum) == 0
    assert landscape.gradient(*landscape.minimum) == (0, 0)
    x, y = (np.linspace(*side, 301) for side in landscape.domain)
    assert landscape.value(*np.meshgrid(x, y)).min() >= 0


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_start_and_the_minimum_are_in_the_picture(name):
    landscape = LANDSCAPES[name]
    for point in landscape.start, landscape.minimum:
        for number, (low, high) in zip(point, landscape.domain):
            assert low < number < high


def test_the_ravine_is_fifty_times_steeper_across_than_along():
    ravine, tilted = LANDSCAPES["ravine"], LANDSCAPES["tilted_ravine"]
    assert ravine.gradient(1, 0) == (1, 0) and ravine.gradient(0, 1) == (0, 50)
    s = 0.5**0.5
    np.testing.assert_allclose(tilted.gradient(s, s), (s, s))
    np.testing.assert_allclose(tilted.gradient(s, -s), (50 * s, -50 * s))


def test_each_says_what_it_shows():
    assert len(LANDSCAPES) >= 3
    assert all(each.shows.endswith(".") and each.title for each in LANDSCAPES.values())
