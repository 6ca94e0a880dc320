# SPDX-License-Identifier: Apache-2.0

"""Methods from best to worst: a dot, its interval and its number, for each data set and number of shots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai_ept.benchmark.report.scores import Column, Score, Scores
from monai_ept.metrics import lower_is_better
from monai_ept.reporting.axes import TOP, equal_spans, tidy
from monai_ept.reporting.figure import AHEAD, BEHIND, GREY, INK, figure_of

__all__ = ["draw_ranks"]

WIDTH, ROW, AROUND = 8.0, 0.34, 0.75
"""Inches of the figure, of a method, and of a panel's title and ticks: to be read at 800 pixels."""


def draw_ranks(table: Scores, metric: str, text_of: Callable[[Score], str]) -> Any:
    """
    Panels below each other, each sorted by its own scores, all of the same span.

    Args:
        text_of: a score with its spread, as it stands beside its dot.
    """
    panels = {column: _sorted(table, column) for column in table.singles}
    heights = [AROUND + ROW * len(scores) for scores in panels.values()]
    figure = figure_of(WIDTH, sum(heights) + 0.5)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (column, scores) in zip(grid, panels.items(), strict=True):
        _panel(axes, scores, table.reference, text_of)
        axes.set_title(", ".join(table.where(column.backbone, column.title)), loc="left")
    equal_spans(list(grid), "x", top=TOP)
    figure.get_layout_engine().set(h_pad=0.1)
    words = metric.replace("_", " ") + ", less is better" * lower_is_better(metric)
    figure.supxlabel("\n".join([words, *_legend(table)]), fontsize=11)
    return figure


def _sorted(table: Scores, column: Column) -> list[Score]:
    there = [table.scores[label, column] for label in table.labels if (label, column) in table.scores]
    return sorted(there, key=lambda found: -found.better * found.score.mean)


def _panel(axes: Any, scores: list[Score], reference: str, text_of: Callable[[Score], str]) -> None:
    for row, found in enumerate(scores):
        value, low, high = found.score.interval
        is_reference = found.label == reference
        colour = GREY if is_reference else {1: AHEAD, -1: BEHIND, 0: INK}[found.verdict]
        if is_reference:
            axes.axvline(value, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
            axes.set_title(f"dashed: {reference}", loc="right", fontsize=11, color="#555555")
        axes.plot(found.few, [row] * len(found.few), "o", color=colour, markersize=4, alpha=0.45, markeredgewidth=0)
        if found.score.interval.known:  # of a biased measure, such as ECE, the bootstrap's need not hold the value
            axes.plot([low, high], [row, row], color=colour, linewidth=2, zorder=3)
        axes.plot(value, row, "o", color=colour, markersize=7, zorder=3)
        text = f"{value:.3f}" if found.few else text_of(found)
        look = {"color": colour, "fontweight": "bold" if found.best else "normal"}
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", **look)
    axes.set_yticks(range(len(scores)), [found.label for found in scores])
    axes.set_ylim(len(scores) - 0.4, -0.6)
    axes.margins(x=0.08)
    tidy(axes, "x")


def _legend(table: Scores) -> list[str]:
    """What bars, small dots and colours are, of those that there are."""
    scores = [found for found in table.scores.values() if not found.column.is_mean]
    bars = {"test images": 0, "repetitions": 0}
    for found in scores:
        bars["test images" if found.score.number == 1 else "repetitions"] += found.score.interval.known
    lines = [f"bar: 95 % interval over {' or over '.join(name for name, count in bars.items() if count)}"] * any(
        bars.values()
    )
    lines += ["small dots: the repetitions of a mean that has no interval"] * any(found.few for found in scores)
    coloured = f"blue: ahead of {table.reference}, orange: behind it (paired t-test, Holm)"
    return lines + [coloured] * any(found.verdict for found in scores)
