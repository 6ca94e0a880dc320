# SPDX-License-Identifier: Apache-2.0

"""What all pictures of an analysis have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_ept.reporting.figure import BLUE, GREY, INK, RED, figure_of

__all__ = ["BLUE", "GREY", "INK", "RED", "class_colours", "figure_of", "panels", "quiet", "robust_limits", "short"]

# Okabe and Ito's colours, which the colour-blind can tell apart, less their yellow, which white paper swallows.
_FEW = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5c5c5c")


def class_colours(number: int) -> list[Any]:
    """One colour per class."""
    if number <= len(_FEW):
        return list(_FEW[:number])
    from matplotlib import colormaps

    return [colormaps["tab20"](index % 20) for index in range(number)]


def panels(number: int, columns: int, width: float, height: float, rows_each: int = 1, **options: Any) -> Any:
    """
    A figure of small panels.

    Args:
        number: how many columns of panels are needed.
        columns: at most so many beside each other; the rest goes below.
        width: of a panel, in inches.
        height: of a panel.
        rows_each: panels that stand below each other in a column.
        options: of ``Figure.subplots``.

    Returns:
        the figure, and axes ``(number, rows_each)``.
    """
    columns = min(columns, number)
    lines = -(-number // columns)
    figure = figure_of(width * columns, height * rows_each * lines)
    grid = figure.subplots(lines * rows_each, columns, squeeze=False, **options)
    grid = grid.reshape(lines, rows_each, columns).transpose(0, 2, 1).reshape(-1, rows_each)
    for spare in grid[number:].reshape(-1):
        spare.axis("off")
    return figure, grid[:number]


def quiet(axes: Any, *, ticks: bool = False) -> None:
    """Fewer lines around a panel."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b8c0c8")
    axes.tick_params(labelsize=8, length=2.5, color="#b8c0c8")
    if not ticks:
        axes.set_xticks([])
        axes.set_yticks([])


def short(name: str, length: int = 18) -> str:
    """A class name that fits over a small panel."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def robust_limits(values: np.ndarray, share: float = 1.0, margin: float = 0.08) -> tuple[float, float]:
    """Limits of an axis that leave out a percentage of outliers at each end."""
    low, high = np.percentile(values, [share, 100 - share])
    pad = margin * (high - low) or 1.0
    return float(low - pad), float(high + pad)
