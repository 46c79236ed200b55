"""Pictures of the chapters: each function takes data and returns a figure, and computes no result.

Transparent background, one grey for all that is not data (it reads on white and on black), the
Okabe-Ito colours, which stay apart for colour-blind readers, and a dash pattern beside each colour.
"""

import matplotlib.pyplot as plt
import numpy as np

GREY = "#767676"
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (6, 2, 1.5, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (9, 3)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
# A method looks the same in every picture, and as it does in the lab.
METHODS = {"SGD": 0, "momentum": 1, "Adam": 2, "RMSprop": 3, "AdamW": 4, "Nesterov": 5}


def _places(names):
    """Which colour, dash and marker each name gets."""
    if all(name in METHODS for name in names):
        return [METHODS[name] for name in names]
    return [i % len(COLOURS) for i in range(len(names))]


def _figure(width, height, xlabel, ylabel, columns):
    """A figure and its row of axes."""
    figure, (row,) = plt.subplots(
        1, columns, figsize=(width, height), dpi=160, layout="constrained", squeeze=False
    )
    plt.close(figure)  # a cell shows what it returns; an open figure would be shown twice
    figure.patch.set_alpha(0)
    for axes in row:
        axes.patch.set_alpha(0)
        axes.set_xlabel(xlabel, color=GREY)
        axes.set_ylabel(ylabel, color=GREY)
        axes.tick_params(colors=GREY, which="both")
        for side, spine in axes.spines.items():
            spine.set_color(GREY)
            spine.set_visible(side in ("left", "bottom"))
    return figure, row


def _axes(width, height, xlabel, ylabel):
    figure, (axes,) = _figure(width, height, xlabel, ylabel, columns=1)
    return figure, axes


def _legend(figure, names):
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = int(6.4 / (0.83 + 0.07 * longest))  # inches: of a handle, and of a letter
    if len(names) > 1:  # above the axes: nothing is covered
        figure.legend(
            loc="outside upper center", ncols=max(1, min(len(names), columns, 4)), frameon=False,
            labelcolor=GREY, handlelength=3.2,
        )  # fmt: skip


def curves(
    lines, *, xlabel, ylabel, x=None, xscale="linear", yscale="linear", ylim=None, level=None
):
    """One curve per entry of `lines`, a dict from name to values; `x` defaults to 0, 1, 2, ...

    An entry may also be a pair (x, values). `level` draws a horizontal reference line.
    """
    figure, axes = _axes(6.4, 3.4, xlabel, ylabel)
    if level is not None:
        axes.axhline(level, color=GREY, linewidth=0.8)
    for i, (name, values) in zip(_places(lines), lines.items()):
        own_x, y = values if isinstance(values, tuple) else (x, values)
        own_x = np.arange(len(y)) if own_x is None else own_x
        axes.plot(own_x, y, color=COLOURS[i], linestyle=DASHES[i], linewidth=1.8, label=name)
    axes.set(xscale=xscale, yscale=yscale)
    if ylim is not None:
        axes.set_ylim(*ylim)
    _legend(figure, lines)
    return figure


def paths(problem, routes, *, window, minimum=(0.0, 0.0), xlabel="$w_1$", ylabel="$w_2$"):
    """Contours of `problem(x, y)` and, on them, a path per entry of `routes` (name to (steps, 2)).

    `window` is (left, right, bottom, top); a path that leaves it is cut off at the frame.
    """
    left, right, bottom, top = window
    figure, axes = _axes(6.4, 3.4, xlabel, ylabel)
    x, y = np.meshgrid(np.linspace(left, right, 241), np.linspace(bottom, top, 241))
    height = problem(x, y)
    steps = np.linspace(0, 1, 13)[1:] ** 2
    levels = height.min() + (height.max() - height.min()) * steps
    axes.contour(x, y, height, levels=levels, colors=GREY, linewidths=0.5, alpha=0.45)
    for i, (name, route) in zip(_places(routes), routes.items()):
        route = np.asarray(route)
        axes.plot(
            *route.T, color=COLOURS[i], linestyle=DASHES[i], linewidth=1.4,
            marker=MARKERS[i], markersize=3.5, label=name,
        )  # fmt: skip
    axes.plot(*minimum, marker="*", markersize=11, color=GREY, linestyle="none")
    axes.set(xlim=(left, right), ylim=(bottom, top))
    _legend(figure, routes)
    return figure


def _number(x, _=None):
    return f"{x:g}" if 1e-3 <= x < 1e4 else f"$10^{{{round(np.log10(x))}}}$"


def ranges(groups, *, xlabel, level=None):
    """Dots with their ranges on a logarithmic axis, one line per label, one mark per series.

    `groups` maps a series to {label: (low, middle, high)}. `level` draws a vertical reference.
    """
    labels = list(dict.fromkeys(label for series in groups.values() for label in series))
    figure, axes = _axes(6.4, 1.2 + 0.38 * len(labels), xlabel, "")
    if level is not None:
        axes.axvline(level, color=GREY, linewidth=0.8)
    for i, (name, series) in enumerate(groups.items()):
        low, middle, high = np.array(list(series.values())).T
        y = np.array([labels.index(label) for label in series])
        y = y + 0.5 * ((i + 0.5) / len(groups) - 0.5)
        axes.errorbar(
            middle, y, xerr=(middle - low, high - middle), color=COLOURS[i % 6], markersize=4.5,
            marker=MARKERS[i % 6], linestyle="none", elinewidth=1.4, label=name,
        )  # fmt: skip
    axes.set(xscale="log", yticks=range(len(labels)), yticklabels=labels)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(_number)
    axes.xaxis.set_minor_formatter(lambda x, _: _number(x) if f"{x:e}"[0] in "25" else "")
    _legend(figure, groups)
    return figure


def heat_map(panels, *, x, y, xlabel, ylabel, label, vmax=None):
    """A grid of values per entry of `panels`, a dict from title to matrix, on one colour scale.

    `values[i][j]` is a run at `y[i]`, `x[j]`; NaN is one that diverged, and is hatched. A dot marks
    the least value of every column, a ring the least of all. Above `vmax` all colours are the same.
    """
    grids = {title: np.asarray(values, float) for title, values in panels.items()}
    figure, axes = _figure(6.4, 1.5 + 0.3 * len(y), xlabel, ylabel, columns=len(grids))
    low = min(np.nanmin(grid) for grid in grids.values())
    high = max(np.nanmax(grid) for grid in grids.values())
    high, beyond = (high, "neither") if vmax is None else (vmax, "max")
    for each, (title, grid) in zip(axes, grids.items()):
        # As pixels: the cells of a drawing would show seams between them.
        mesh = each.pcolormesh(grid, cmap="viridis_r", vmin=low, vmax=high, rasterized=True)
        for i, j in np.argwhere(np.isnan(grid)):
            each.add_patch(
                plt.Rectangle((j, i), 1, 1, fill=False, hatch="////", edgecolor=GREY, linewidth=0)
            )
        _mark_least(each, grid)
        each.set_title(title if len(grids) > 1 else "", color=GREY, fontsize="medium")
        each.set_xticks(np.arange(len(x)) + 0.5, [f"{rate:.2g}" for rate in x], rotation=45)
        each.set_yticks(np.arange(len(y)) + 0.5, [f"{rate:.2g}" for rate in y])
        each.label_outer()
    bar = figure.colorbar(mesh, ax=axes, extend=beyond)
    bar.set_label(label, color=GREY)
    bar.ax.tick_params(colors=GREY)
    bar.outline.set_edgecolor(GREY)
    return figure


def _mark_least(axes, grid):
    """A dot in the least cell of every column, and a ring around the least of these."""
    mark = {"color": "white", "markeredgecolor": "black", "linestyle": "none"}
    columns = [j for j in range(grid.shape[1]) if not np.isnan(grid[:, j]).all()]
    rows = [int(np.nanargmin(grid[:, j])) for j in columns]
    axes.plot(np.add(columns, 0.5), np.add(rows, 0.5), marker="o", markersize=4, **mark)
    i, j = np.unravel_index(np.nanargmin(grid), grid.shape)
    axes.plot(j + 0.5, i + 0.5, marker="o", markersize=10, **mark | {"color": "none"})
