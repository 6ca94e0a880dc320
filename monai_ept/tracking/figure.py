# SPDX-License-Identifier: Apache-2.0

"""The comparison as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_ept.tracking.compare import Comparison

__all__ = ["draw_comparison"]

# Okabe and Ito's colours, which those who see fewer colours tell apart; the baseline has grey for itself.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draw mean and 95 % interval by method and shots, one panel for each data set and backbone, into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = comparison.panels
    names = {row.method for row in comparison.rows}
    room_for_names = 2.2 + 0.07 * max(map(len, names), default=0)
    widths = [0.8 + len({row.shots for row in rows}) for rows in panels.values()]
    figure = Figure(figsize=(room_for_names * len(panels) + 1.5 * sum(widths), 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    others = sorted(names - {comparison.baseline})
    look = {name: (COLOURS[i % 7], MARKERS[(i + i // 7) % 7]) for i, name in enumerate(others)}
    look[comparison.baseline] = ("#808080", "o")

    for axis, ((source, backbone), rows) in zip(axes, panels.items(), strict=True):
        shots = list(dict.fromkeys(row.shots for row in rows))  # rows come sorted by number
        methods = comparison.ordered_methods(rows)
        room = min(0.8, 0.14 * (len(methods) - 1))
        for number, method in enumerate(methods):
            mine = [row for row in rows if row.method == method]
            shift = room * (number / (len(methods) - 1) - 0.5) if len(methods) > 1 else 0.0
            places = [shots.index(row.shots) + shift for row in mine]
            spread = [0.0 if math.isnan(row.low) else row.high - row.mean for row in mine]
            colour, marker = look[method]
            axis.errorbar(
                places,
                [row.mean for row in mine],
                yerr=spread if any(spread) else None,
                color=colour,
                marker=marker,
                markersize=6,
                linewidth=1,
                linestyle="--" if method == comparison.baseline else "-",
                elinewidth=1.2,
                capsize=2.5,
                alpha=0.95,
                label=method,
            )
        for edge in range(1, len(shots)):
            axis.axvline(edge - 0.5, color="#e5e5e5", linewidth=0.8, zorder=0)
        axis.set_xticks(range(len(shots)), shots)
        axis.set_xlim(-0.55, len(shots) - 0.45)
        axis.set_xlabel("shots per class")
        axis.set_title(f"{source}\n{backbone}", fontsize=10)
        axis.grid(axis="y", color="#e5e5e5", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    repeated = any(row.runs > 1 for row in comparison.rows)
    what = comparison.metric.removeprefix("test/").replace("_", " ")
    axes[0].set_ylabel(f"{what} (mean, 95 % interval)" if repeated else what)
    figure.savefig(path, metadata={"Software": None})
