# SPDX-License-Identifier: Apache-2.0

"""How far each method is from the reference, at a glance."""

from __future__ import annotations

import math
from typing import Any

from monai_ept.benchmark.report.scores import Column, Score, Scores
from monai_ept.reporting.axes import tidy
from monai_ept.reporting.figure import AHEAD, BEHIND, GREY, INK, Picture, figure_of
from monai_ept.reporting.numbers import signed
from monai_ept.reporting.statistics import FEWEST, NOTHING

__all__ = ["draw_differences"]

MOST = 4
"""Panels beside each other."""


def draw_differences(table: Scores, backbone: str) -> Picture | None:
    """Difference to the reference with its interval, methods by columns; None without anything to compare."""
    labels = [label for label in table.labels if label != table.reference]
    columns = [
        column
        for column in table.columns
        if column.backbone == backbone
        and any(not math.isnan(_score(table, label, column).difference.mean) for label in labels)
    ]
    if not table.reference or not columns:
        return None
    labels = [label for label in labels if any((label, column) in table.scores for column in columns)]
    lines = _lines(columns)
    several = [backbone] * (len(table.backbones) > 1)
    figure = figure_of(11.5, len(lines) * (0.75 + 0.27 * len(labels)) + 0.3)
    panels = figure.subplots(len(lines), max(map(len, lines)), squeeze=False, sharey=True, sharex=True)
    for line, row in zip(lines, panels, strict=True):
        for column, axes in zip(line, row, strict=False):
            _panel(axes, table, column, labels)
        for axes in row[len(line) :]:
            axes.set_visible(False)
    low, high = _limits(table, labels, columns)
    panels[0, 0].set_xlim(low, high)
    with_interval = ", with 95 % interval" if table.has_intervals else ""
    figure.supxlabel(f"{table.metrics} minus that of {table.reference}{with_interval}", fontsize=11)
    return Picture.drawn(
        ["differences", *several],
        ": ".join([f"Difference to {table.reference}", *several]),
        f"Each point is the mean difference to {table.reference} on the same images"
        + (
            ", the bar its 95 % interval (not corrected for the number of comparisons). Blue is ahead and orange "
            "behind after Holm's correction; grey cannot be told from no difference."
            if table.has_intervals
            else f". There is no interval with fewer than {FEWEST} {table.unit}s, so that nothing is coloured."
        ),
        figure,
    )


def _limits(table: Scores, labels: list[str], columns: list[Column]) -> tuple[float, float]:
    """The same for all panels, with zero and with room for the numbers beside what is coloured."""
    scores = [_score(table, label, column) for label in labels for column in columns]
    found = [score.difference.interval for score in scores if not math.isnan(score.difference.mean)]
    ends = [end for one in found for end in (one[1:] if one.known else one[:1])]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = (high - low) or 0.01
    left = any(score.verdict and score.difference.mean < 0 for score in scores)
    right = any(score.verdict and score.difference.mean > 0 for score in scores)
    return low - room * (0.34 if left else 0.05), high + room * (0.34 if right else 0.05)


def _lines(columns: list[Column]) -> list[list[Column]]:
    """Panels of one data set beside each other, those of means first; all beside each other where they fit."""
    if len(columns) <= MOST:
        return [columns]
    lines: list[list[Column]] = []
    for source in dict.fromkeys(column.source for column in sorted(columns, key=lambda column: not column.is_mean)):
        block = [column for column in columns if column.source == source]
        lines += [block[start : start + MOST] for start in range(0, len(block), MOST)]
    return lines


def _panel(axes: Any, table: Scores, column: Column, labels: list[str]) -> None:
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    for row, label in enumerate(labels):
        score = _score(table, label, column)
        found = score.difference.interval
        if math.isnan(found.value):
            continue
        colour = {1: AHEAD, -1: BEHIND, 0: GREY}[score.verdict]
        half = None if math.isnan(score.difference.p) else found.half
        axes.errorbar(found.value, row, xerr=half, fmt="o", color=colour, markersize=6.5, elinewidth=2.2, zorder=3)
        if score.verdict:
            right = found.value > 0  # away from the line at zero
            axes.annotate(
                signed(found.value), (found.high if right else found.low, row), (4 if right else -4, 0),
                textcoords="offset points", va="center", ha="left" if right else "right", fontsize=9.5, color=colour,
                fontweight="bold",
            )  # fmt: skip
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    title = column.title
    if len(table.metric_of) == 1:
        title = f"{column.shots}-shot" if column.shots else "mean over shots"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold" if column.is_mean else "normal")
    axes.tick_params(labelbottom=True)
    tidy(axes, "x")


def _score(table: Scores, label: str, column: Column) -> Score:
    return table.scores.get((label, column)) or Score(label, column, NOTHING, None)
