# SPDX-License-Identifier: Apache-2.0

"""Pictures of features: how wide each class is, where it lies, and which classes are neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.project_2d import FEWEST, density_levels, first_component, plane, turned
from monai_ept.reporting.axes import quiet, robust_limits, short
from monai_ept.reporting.figure import BLUE, GREY, INK, class_colours, figure_of, panels

__all__ = ["count_narrower", "draw_components", "draw_densities", "draw_neighbours"]


def draw_components(pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, class_names: Sequence[str]) -> Any:
    """
    For each class the histogram of its own first principal component, pretrained against tuned.

    The unit is the root of the total spread of all classes, so that a narrower histogram is a tighter class whatever
    the size of the features.
    """
    from matplotlib.patches import Patch

    values = _along_main_direction(pretrained, tuned, classes, len(class_names))
    figure, grid = panels(len(values), 4, 2.3, 1.75)
    reach = max(float(np.abs(np.concatenate(pair)).max()) for pair in values.values()) if values else 1.0
    for (k, pair), (axes,) in zip(values.items(), grid, strict=True):
        if len(pair[0]) < FEWEST:
            axes.vlines(pair[1], 0, 0.5, color=BLUE, linewidth=3, alpha=0.75)
            axes.vlines(pair[0], 0.5, 1, color=INK, linewidth=1.3)
        else:
            edges = np.linspace(-reach, reach, int(np.clip(2 * np.sqrt(len(pair[0])), 6, 24)) + 1)
            axes.hist(pair[1], edges, density=True, color=BLUE, alpha=0.75)
            axes.hist(pair[0], edges, density=True, histtype="step", color=INK, linewidth=1.3)
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        widths = [float(one.std()) for one in pair]
        axes.set_title(f"{short(class_names[k])} ({len(pair[0])})", fontsize=9, loc="left", color=INK)
        corner = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 7.5, "color": GREY}
        axes.text(0.98, 0.96, f"width {widths[0]:.2f} → {widths[1]:.2f}", **corner)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
        quiet(axes, ticks=True)
        axes.set_yticks([])
    if len(grid):
        handles = [Patch(color=BLUE, alpha=0.75, label="tuned"), Patch(fill=False, edgecolor=INK, label="pretrained")]
        figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
        figure.supxlabel("first principal component of the class, in units of the total spread", fontsize=9)
    return figure


def _along_main_direction(
    pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, num_classes: int
) -> dict[int, list[np.ndarray]]:
    """Positions of each class's images in both features, for classes of two images or more."""
    sizes = [np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()) or 1.0 for x in (pretrained, tuned)]
    found = {}
    for k in range(num_classes):
        if (classes == k).sum() > 1:
            before, after = (first_component(x[classes == k]) for x in (pretrained, tuned))
            # Which way it points is chance: the same way for both.
            found[k] = [before / sizes[0], after * (-1 if before @ after < 0 else 1) / sizes[1]]
    return found


def count_narrower(pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, num_classes: int) -> tuple[int, int]:
    """How many of how many histograms of ``draw_components`` are narrower (by standard deviation) after tuning."""
    values = _along_main_direction(pretrained, tuned, classes, num_classes).values()
    return sum(bool(after.std() < before.std()) for before, after in values), len(values)


def draw_densities(pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, class_names: Sequence[str]) -> Any:
    """
    For each class the contours that hold half and nine tenths of its images, before all images in grey.

    Both rows show the first two principal components of all images, each of its own features; the lower one is turned
    to match the upper.
    """
    present = [k for k in range(len(class_names)) if (classes == k).any()]
    columns = len(present) if len(present) <= 7 else 5
    side = min(2.3, 10.9 / columns)
    figure, grid = panels(len(present), columns, side, side + 0.05, rows_each=2)
    colours = class_colours(len(class_names))
    size = float(np.clip(400 / len(pretrained), 2, 9))  # of the dots of all images: the fewer, the larger
    before = plane(pretrained)
    for row, points in enumerate((before, turned(plane(tuned), before))):
        low, high = np.array([robust_limits(points[:, axis], 0.5, 0.3) for axis in (0, 1)]).T
        xs, ys = (np.linspace(low[axis], high[axis], 90) for axis in (0, 1))
        for k, column in zip(present, grid, strict=True):
            axes, own = column[row], points[classes == k]
            axes.scatter(*points.T, s=size, color="#c9d0d7", linewidth=0, zorder=1)
            found = density_levels(own, xs, ys)
            if found is None:  # too few for a density
                axes.scatter(*own.T, s=18, color=colours[k], linewidth=0.4, edgecolor=INK, zorder=3)
            else:
                density, levels = found
                axes.contourf(xs, ys, density, [*levels, np.inf], colors=[colours[k]] * 2, alpha=0.3, zorder=2)
                axes.contour(xs, ys, density, levels, colors=[colours[k]], linewidths=1.1, zorder=3)
            if len(own) > 1:
                axes.plot(*own.mean(axis=0), "+", color=INK, markersize=6, markeredgewidth=1.2, zorder=4)
            axes.set_xlim(low[0], high[0])
            axes.set_ylim(low[1], high[1])
            quiet(axes)
            if row == 0:
                axes.set_title(f"{short(class_names[k], 14)} ({len(own)})", fontsize=8.5, loc="left", color=INK)
    for column in grid:
        for axes, name in zip(column, ("pretrained", "tuned"), strict=True):
            if axes.get_subplotspec().is_first_col():
                axes.set_ylabel(name, fontsize=9)
    return figure


def draw_neighbours(
    pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, class_names: Sequence[str], name: str
) -> Any:
    """
    All images of all classes, pretrained beside tuned, each a dot.

    Args:
        pretrained: places ``(images, 2)``.
        tuned: the same of the tuned features.
        classes: class of each image.
        class_names: one name per class.
        name: of the projection.
    """
    labels = {k: short(label, 24) for k, label in enumerate(class_names) if (classes == k).any()}
    figure = figure_of(9.2, 4.2)
    colours = class_colours(len(class_names))
    for axes, points, title in zip(figure.subplots(1, 2), (pretrained, tuned), ("pretrained", "tuned"), strict=True):
        for k, label in labels.items():
            axes.scatter(*points[classes == k].T, s=16, color=colours[k], linewidth=0.3, edgecolor="white", label=label)
        axes.set_title(f"{name}, {title}", fontsize=10, loc="left", color=INK)
        quiet(axes)
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
    look = {"frameon": False, "fontsize": 9, "markerscale": 1.6, "handletextpad": 0.2, "columnspacing": 1.2}
    for columns in range(min(7, len(labels)), 0, -1):  # as many names in a line as there is room for
        legend = figure.legend(loc="outside lower center", ncols=columns, handles=axes.collections, **look)
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(4.2 + 0.18 * (-(-len(labels) // columns) - 1))
    return figure
