# SPDX-License-Identifier: Apache-2.0

"""Every repetition of every method: how scores are distributed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.benchmark.report.scores import Column, Scores
from monai_ept.reporting.axes import TOP, equal_spans, tidy
from monai_ept.reporting.figure import AHEAD, GREY, INK, Picture, panels

__all__ = ["draw_repeats"]

FEWEST = 3
"""Repetitions of which a distribution is worth a figure."""
FOR_A_BOX = 8
"""Repetitions of which quartiles mean something."""


def draw_repeats(table: Scores, backbone: str, source: str) -> Picture | None:
    """A dot for each cell, methods by columns; None when nothing is repeated often enough."""
    values = {
        column: {
            label: table.scores[label, column].cells["value"].tolist()
            for label in table.labels
            if (label, column) in table.scores
        }
        for column in table.singles
        if column.backbone == backbone and column.source == source
    }
    values = {column: rows for column, rows in values.items() if any(len(scores) >= FEWEST for scores in rows.values())}
    if not values:
        return None
    labels = [label for label in table.labels if any(label in rows for rows in values.values())]
    metric = table.metric_of[source].replace("_", " ")
    width, height = 6.5 if len(values) == 1 else 3.83, 0.9 + 0.3 * len(labels)
    figure, grid = panels(len(values), 3, width, height, sharey=True)
    for axes, (column, rows) in zip(grid.flat, values.items(), strict=True):
        _panel(axes, column, rows, labels, table.reference)
    equal_spans(list(grid.flat), "x", top=TOP)
    figure.supxlabel(metric, fontsize=11)
    boxes = any(len(scores) >= FOR_A_BOX for rows in values.values() for scores in rows.values())
    parts = table.where(backbone, source)
    return Picture.drawn(
        ["repeats", *parts],
        f"Distribution over repeats: {', '.join(reversed(parts))}",
        f"{metric.capitalize()} of each training as a dot, the mean as a line"
        f"{', the middle half as a box' if boxes else ''}. Samplings draw other training images, seeds "
        "other batches and start values.",
        figure,
    )


def _panel(axes: Any, column: Column, rows: dict[str, list[float]], labels: Sequence[str], reference: str) -> None:
    everything = [value for scores in rows.values() for value in scores]
    step = (max(everything) - min(everything)) / 60 or 1e-3
    for row, label in enumerate(labels):
        scores = rows.get(label)
        if not scores:
            continue
        colour = GREY if label == reference else AHEAD
        if len(scores) >= FOR_A_BOX:
            low, high = np.quantile(scores, [0.25, 0.75])
            axes.barh(row, high - low, left=low, height=0.62, color=colour, alpha=0.18)
        axes.plot(*_swarm(scores, row, step), "o", color=colour, markersize=5, alpha=0.7, markeredgewidth=0)
        mean = float(np.mean(scores))
        axes.plot([mean, mean], [row - 0.38, row + 0.38], color=INK, linewidth=1.8)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_title(f"{column.shots}-shot", loc="left", fontsize=11)
    axes.tick_params(labelbottom=True)
    tidy(axes, "x")


def _swarm(values: Sequence[float], row: int, step: float) -> tuple[list[float], list[float]]:
    """Dots that would cover each other stand above and below the line."""
    bins: dict[int, list[float]] = defaultdict(list)
    for value in sorted(values):
        bins[round(value / step)].append(value)
    xs, ys = [], []
    for members in bins.values():
        apart = min(0.16, 0.7 / len(members))
        for place, value in enumerate(members):
            xs.append(value)
            ys.append(row + apart * (place - (len(members) - 1) / 2))
    return xs, ys
