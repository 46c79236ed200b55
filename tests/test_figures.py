"""The drawings: readable on white and on black, the same in every build, marked where they say."""

import json
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.measure import experiments, result_path
from optlib import figures

X, Y = [0.001, 0.01, 0.1], [0, 1e-4]
GRID = np.array([[3.0, 1.0, 5.0], [2.0, 4.0, np.nan]])


def marks(axes):
    """(x, y) of the dots, and of the ring."""
    dots, ring = (list(zip(*line.get_data())) for line in axes.lines)
    return [(float(x), float(y)) for x, y in dots], [(float(x), float(y)) for x, y in ring]


def test_a_heat_map_marks_the_least_of_every_column_and_of_all():
    figure = figures.heat_map({"a": GRID}, x=X, y=Y, xlabel="rate", ylabel="decay", label="loss")
    axes, bar = figure.axes
    dots, ring = marks(axes)
    assert dots == [(0.5, 1.5), (1.5, 0.5), (2.5, 0.5)]
    assert ring == [(1.5, 0.5)]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "0.0001"]
    assert bar.get_ylabel() == "loss"


def test_what_diverged_is_hatched_and_marked_by_nothing():
    grid = np.where([False, False, True], np.nan, GRID)
    figure = figures.heat_map({"a": grid}, x=X, y=Y, xlabel="", ylabel="", label="")
    axes = figure.axes[0]
    assert {patch.get_xy() for patch in axes.patches} == {(2, 0), (2, 1)}
    assert all(patch.get_hatch() for patch in axes.patches)
    assert marks(axes)[0] == [(0.5, 1.5), (1.5, 0.5)]


def test_panels_share_one_scale():
    panels = {"a": GRID, "b": GRID + 7}
    draw = {"x": X, "y": Y, "xlabel": "", "ylabel": "", "label": ""}
    for vmax, top in ((None, 12.0), (6.0, 6.0)):
        first, second, _ = figures.heat_map(panels, **draw, vmax=vmax).axes
        limits = [axes.collections[0].get_clim() for axes in (first, second)]
        assert limits == [(1.0, top)] * 2
        assert [axes.get_title() for axes in (first, second)] == ["a", "b"]


@pytest.mark.parametrize("name", [name for name in experiments() if result_path(name).exists()])
def test_every_experiment_has_a_picture_that_reads_on_white_and_on_black(name):
    rows = json.loads(result_path(name).read_text(encoding="utf8"))["rows"]
    figure = import_module(f"experiments.{name}").picture(rows)
    assert not plt.fignum_exists(figure.number)  # a cell would show it twice
    assert figure.patch.get_alpha() == 0
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.patch.get_alpha() == 0 or axes.get_label() == "<colorbar>"
        labels = [label for label in (axes.xaxis.label, axes.yaxis.label) if label.get_text()]
        assert labels and {label.get_color() for label in labels} == {figures.GREY}
        for box in (each.get_window_extent() for each in (*figure.legends, axes.xaxis.label)):
            assert box.x0 >= -2 and box.x1 <= figure.bbox.x1 + 2  # nothing is cut off
