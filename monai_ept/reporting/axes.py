# SPDX-License-Identifier: Apache-2.0

"""What is done to axes: fewer lines around them, limits that can be compared, labels that do not collide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_ept.metrics.interval import Interval
from monai_ept.reporting.figure import LINE

__all__ = [
    "TOP",
    "equal_spans",
    "name_beside",
    "place_labels",
    "plot_means",
    "quiet",
    "robust_limits",
    "short",
    "tidy",
    "within_scores",
]


def tidy(axes: Any, grid: str = "", *, labelsize: float | None = None) -> None:
    """Fewer lines around axes, and those of a grid behind what is drawn."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=3, **({} if labelsize is None else {"labelsize": labelsize}))
    if grid:
        axes.set_axisbelow(True)
        axes.grid(axis=grid, color=LINE, linewidth=0.8)


def quiet(axes: Any, *, ticks: bool = False) -> None:
    """The same for a small panel, without ticks unless they are asked for."""
    tidy(axes)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b8c0c8")
    axes.tick_params(labelsize=8, length=2.5, color="#b8c0c8")
    if not ticks:
        axes.set_xticks([])
        axes.set_yticks([])


def short(name: str, length: int = 18) -> str:
    """A name that fits over a small panel."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def robust_limits(values: Any) -> tuple[float, float]:
    """Limits of an axis that leave out half a percent of outliers at each end."""
    low, high = np.percentile(values, [0.5, 99.5])
    pad = 0.3 * (high - low) or 1.0
    return float(low - pad), float(high + pad)


TOP = 1.02
"""Where the axis of a score ends: the marker of a perfect one is seen whole."""


def equal_spans(panels: Sequence[Any], axis: str = "y", top: float = math.inf) -> None:
    """Let all panels span as much as the widest, each where its own values are: slopes can be compared."""
    limits = [getattr(axes, f"get_{axis}lim")() for axes in panels]
    span = max(high - low for low, high in limits)
    for axes, (low, high) in zip(panels, limits, strict=True):
        end = (low + high + span) / 2
        if high <= top:
            end = min(end, top)
        getattr(axes, f"set_{axis}lim")(end - span, end)


def within_scores(axes: Any, means: Sequence[float]) -> None:
    """Where all means lie between 0 and 1, so does the axis: intervals of few repetitions reach further."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0) if min(means) >= 0 else low, min(high, TOP) if max(means) <= 1 else high)


def plot_means(
    axes: Any, places: Sequence[float], means: Sequence[Interval], *, bars: bool = True, **look: Any
) -> None:
    """A curve of means, with their intervals where those are known."""
    halves = [one.half for one in means] if bars else None
    look = {"markersize": 6.5, "linewidth": 1.8, "elinewidth": 1.5, **look}
    axes.errorbar(places, [one.value for one in means], halves, **look)


def name_beside(axes: Any, ends: Mapping[str, tuple[float, float, str]], gap: float = 0.06) -> None:
    """
    Names beside a panel, each level with the end of its curve or as near as others let it.

    Args:
        ends: place, height and colour of the end of each curve, by its name.
        gap: between names, as a share of the panel's height.
    """
    low, high = axes.get_ylim()
    places = place_labels([height for _, height, _ in ends.values()], gap * (high - low), low, high)
    for (name, (*end, colour)), place in zip(ends.items(), places, strict=True):
        # Dotted, so that it is not taken for data.
        connector = {"arrowstyle": "-", "linewidth": 0.9, "linestyle": ":", "shrinkA": 0, "shrinkB": 5, "color": colour}
        axes.annotate(
            name, end, (1.02, place), xycoords="data", textcoords=("axes fraction", "data"), va="center",
            fontweight="bold", color=colour, annotation_clip=False, arrowprops=connector,
        )  # fmt: skip
    axes.set_ylim(low, high)


def place_labels(wanted: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """
    Positions near the wanted ones, none nearer than ``gap`` to another, in the same order.

    Labels that collide become a block that stands where its members wanted to be on average.

    Example::

        >>> place_labels([0.0, 0.1, 5.0], 1.0)
        [-0.45, 0.55, 5.0]
    """
    from sklearn.isotonic import isotonic_regression

    if not wanted:
        return []
    # Without their gaps, positions are the nearest ones that do not fall.
    order = np.argsort(wanted, kind="stable")
    gaps = gap * np.arange(len(order))
    starts = isotonic_regression(np.asarray(wanted, dtype=np.float64)[order] - gaps)
    placed = np.empty(len(order))
    placed[order] = np.minimum(np.maximum(starts, low), high - gaps[-1]) + gaps
    return placed.round(12).tolist()
