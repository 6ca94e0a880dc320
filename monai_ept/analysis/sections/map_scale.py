# SPDX-License-Identifier: Apache-2.0

"""One scale of colours for all maps of a figure, and grey where they have no pattern."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_ept.reporting.numbers import decimal

__all__ = ["LEAST_RANGE", "colour_bar", "colours_about_zero", "colours_of", "is_flat", "points", "say_scale", "span_of"]

LEAST_RANGE = 0.02
"""Of g: maps that together span less are drawn grey, for a scale that fits any range makes findings of noise."""
MAP, APART = "viridis", "RdBu_r"


def span_of(values: np.ndarray) -> float:
    """Most less least."""
    return float(np.ptp(values)) if values.size else 0.0


def is_flat(values: np.ndarray) -> bool:
    """Whether values of g, or differences of them, span too little to be called a pattern."""
    return span_of(values) < LEAST_RANGE


def points(share: float) -> str:
    """
    A difference of shares in words.

    Example::

        >>> points(0.0123)
        '1.23 percentage points'
    """
    return f"{decimal(100 * share, 2)} percentage points"


def colours_of(values: np.ndarray) -> dict[str, Any]:
    """
    Options of ``imshow`` for all maps of a figure, given all their values.

    They leave out a few odd patches, in the corners mostly, which would hide all others, and never span less than
    ``LEAST_RANGE``.
    """
    if is_flat(values):
        return _grey()
    low, high = np.percentile(values, [1, 99]).tolist()
    wider = max(LEAST_RANGE - (high - low), 0) / 2
    return {"cmap": MAP, "vmin": low - wider, "vmax": high + wider}


def colours_about_zero(values: np.ndarray) -> dict[str, Any]:
    """The same for differences of shares, which are drawn in percentage points."""
    if is_flat(values):
        return _grey()
    reach = 100 * max(float(np.percentile(np.abs(values), 99.5)), LEAST_RANGE / 2)
    return {"cmap": APART, "vmin": -reach, "vmax": reach}


def _grey() -> dict[str, Any]:
    from matplotlib.colors import ListedColormap

    return {"cmap": ListedColormap(["#c4c9ce"])}


def say_scale(figure: Any, image: Any, axes: Any, values: np.ndarray, unit: str = "share of attention kept, g") -> None:
    """One bar of colours for all maps of a figure, of which ``image`` is one; where they are grey, why."""
    if is_flat(values):
        said = f"no pattern: all maps together span {points(span_of(values))}"
        figure.suptitle(said, fontsize=10, x=0.01, ha="left")
    else:
        colour_bar(figure, image, axes, unit, fraction=0.025)


def colour_bar(figure: Any, image: Any, axes: Any, unit: str, fraction: float = 0.05) -> None:
    """A bar beside axes, without a frame."""
    bar = figure.colorbar(image, ax=axes, fraction=fraction, pad=0.02, aspect=max(20, 5 * figure.get_figheight()))
    bar.set_label(unit, fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
