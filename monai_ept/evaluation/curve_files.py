# SPDX-License-Identifier: Apache-2.0

"""``curves.csv`` and ``curves.png``: ROC and precision-recall of each class against the rest, with 95 % bands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ept.metrics.curves import Curve, Curves
from monai_ept.metrics.interval import Interval
from monai_ept.reporting.axes import quiet, short
from monai_ept.reporting.csv_file import harmless_cell, write_csv
from monai_ept.reporting.figure import BLUE, GREY, INK, RED, figure_of, panels, save_figure

__all__ = ["draw_curves", "write_curves"]

MOST = 14  # classes that a picture has room for; the rest is in the table


def write_curves(folder: str | Path, curves: Mapping[str, Curves]) -> Path:
    """Write ``curves.csv``: the points of every curve, on even steps of its horizontal axis."""
    rows: list[list[Any]] = []
    for name, both in curves.items():
        for kind, one in (("roc", both.roc), ("precision_recall", both.precision_recall)):
            points = zip(one.x.tolist(), one.y.tolist(), one.low.tolist(), one.high.tolist(), strict=True)
            rows += [[harmless_cell(name), kind, *("" if math.isnan(v) else v for v in point)] for point in points]
    return write_csv(Path(folder) / "curves.csv", ["class", "curve", "x", "y", "low", "high"], rows)


def draw_curves(folder: str | Path, curves: Mapping[str, Curves], positive: Mapping[str, Any] | None = None) -> Path:
    """
    Draw ``curves.png``: above the ROC curve, below precision over recall, a column for each class.

    Args:
        positive: what ``positive_numbers`` says of the class that is looked for: the picture shows this class alone,
            with a dot where it is claimed.
    """
    if positive and positive["class"] in curves:
        curves = {positive["class"]: curves[positive["class"]]}
    shown = list(curves.items())[:MOST]
    if len(shown) == 1:
        figure = figure_of(7.4, 3.7)
        grid = figure.subplots(1, 2)[None]
    else:
        figure, grid = panels(len(shown), 4, 2.1, 2.1, rows_each=2, layout=None)
        width, height = figure.get_size_inches()
        room = {"left": 0.55 / width, "right": 1 - 0.1 / width, "bottom": 0.45 / height, "top": 1 - 0.4 / height}
        figure.subplots_adjust(**room, wspace=0.4, hspace=0.62)
    for (name, both), (upper, lower) in zip(shown, grid, strict=True):
        roc, precise = both.roc, both.precision_recall
        upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        lower.axhline(both.share, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        _draw(upper, roc)
        _draw(lower, precise)
        wide = len(shown) == 1
        title = name if wide else short(name, 16)
        upper.set_title(f"{title}\nAUC {_said(roc.area)}", fontsize=10 if wide else 8, loc="left", color=INK)
        average = f"average precision {_said(precise.area)}" if wide else f"AP {_said(precise.area)}"
        lower.set_title(f"{title}\n{average}" if wide else average, fontsize=10 if wide else 8, loc="left", color=INK)
        first = wide or upper.get_subplotspec().is_first_col()
        upper.set_ylabel("sensitivity" if first else "", fontsize=9)
        lower.set_ylabel("precision (PPV)" if first else "", fontsize=9)
        upper.set_xlabel("1 − specificity", fontsize=9)
        lower.set_xlabel("recall (sensitivity)" if wide else "recall", fontsize=9)
    if positive and positive["class"] in curves:
        (upper, lower), at = grid[0], {name: row["value"] for name, row in positive["metrics"].items()}
        dot: Any = {"color": RED, "markersize": 6, "zorder": 5, "clip_on": False, "linestyle": "none", "marker": "o"}
        upper.plot(
            1 - at["specificity"], at["sensitivity"], label=f"claimed from {positive['threshold']:.2f} on", **dot
        )
        lower.plot(at["sensitivity"], at["ppv"], **dot)
        upper.legend(frameon=False, fontsize=8.5, loc="lower right")
    return save_figure(figure, Path(folder) / "curves.png")


def _draw(axes: Any, curve: Curve) -> None:
    axes.fill_between(curve.x, curve.low, curve.high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(curve.x, curve.y, color=BLUE, linewidth=1.5)
    quiet(axes, ticks=True)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set_aspect("equal")


def _said(area: Interval) -> str:
    ends = f" ({area.low:.2f}–{area.high:.2f})" if area.known else ""
    return f"{area.value:.2f}{ends}"
