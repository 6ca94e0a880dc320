# SPDX-License-Identifier: Apache-2.0

"""Score against the number of shots."""

from __future__ import annotations

from typing import Any

from monai_ept.benchmark.report.figures.style import (
    GREY,
    Picture,
    empty_figure,
    grid_of,
    place_labels,
    styled,
    tidy,
    within_scores,
)
from monai_ept.benchmark.report.table import Score, Table
from monai_ept.reporting.figure import COLOURS, MARKERS

__all__ = ["draw_shots"]

FEW = 6
"""Methods that one panel can hold; more get a panel each."""
FAINT = "#cfcfcf"


def draw_shots(table: Table, backbone: str, source: str) -> Picture | None:
    """Mean and 95 % interval by number of shots; None with a single number."""
    columns = [column for column in table.singles if column.backbone == backbone and column.source == source]
    curves = {
        label: [table.scores.get((label, column)) for column in columns]
        for label in table.labels
        if label not in table.groups  # those are curves of another figure
    }
    curves = {label: curve for label, curve in curves.items() if sum(score is not None for score in curve) > 1}
    if len(columns) < 2 or not curves.keys() - {table.reference}:
        return None
    shots = [str(column.shots) for column in columns]
    metric = table.metric_of[source].replace("_", " ")
    with styled("shots"):
        figure = (
            _together(curves, shots, metric, table.reference)
            if len(curves) <= FEW
            else _apart(curves, shots, metric, table.reference)
        )
        how = (
            ""
            if len(curves) <= FEW
            else (
                f" One panel for each method, from best to worst; all others in light grey"
                f"{f', {table.reference} dashed' if table.reference else ''}."
            )
        )
        return Picture.drawn(
            "-".join(["shots", *_distinct(table, backbone, source)]),
            f"Score against shots: {source}" + (f", {backbone}" if len(table.backbones) > 1 else ""),
            f"{metric.capitalize()}, mean and 95 % interval over {table.unit}s.{how}",
            figure,
        )


def _together(curves: dict[str, list[Score | None]], shots: list[str], metric: str, reference: str) -> Any:
    figure = empty_figure(5.0, 9.5)
    axes = figure.add_subplot()
    looks = _looks(list(curves), reference)
    ends = {}
    for number, (label, curve) in enumerate(curves.items()):
        shift = 0.05 * (number - (len(curves) - 1) / 2)
        _curve(axes, curve, *looks[label], dashed=label == reference, shift=shift)
        last = max(place for place, score in enumerate(curve) if score is not None)
        ends[label] = last + shift, [score for score in curve if score is not None][-1].score.mean
    _axes(axes, shots)
    axes.set_ylabel(metric)
    axes.set_xlabel("shots per class")
    within_scores(axes, [mean for _, mean in ends.values()])
    low, high = axes.get_ylim()
    places = place_labels([mean for _, mean in ends.values()], 0.058 * (high - low), low, high)
    for (label, end), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            label, end, (len(shots) - 0.72, place), va="center", color=looks[label][0],
            fontweight="bold", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": looks[label][0], "linewidth": 0.7, "shrinkA": 0, "shrinkB": 5},
        )  # fmt: skip
    axes.set_ylim(low, high)
    return figure


def _apart(curves: dict[str, list[Score | None]], shots: list[str], metric: str, reference: str) -> Any:
    labels = [label for label in curves if label != reference]
    rows, beside = grid_of(len(labels), 5)
    figure = empty_figure(2.15 * rows + 0.5)
    panels = figure.subplots(rows, beside, squeeze=False, sharex=True, sharey=True)
    for place, axes in enumerate(panels.flat):
        if place >= len(labels):
            axes.set_visible(False)
            continue
        for label, curve in curves.items():
            if label not in (labels[place], reference):
                _curve(axes, curve, FAINT, "", bars=False, width=1)
        if reference in curves:
            _curve(axes, curves[reference], GREY, "", bars=False, dashed=True, width=1.6)
        _curve(axes, curves[labels[place]], COLOURS[0], "o")
        _axes(axes, shots)
        axes.set_title(labels[place], loc="left", fontsize=11, fontweight="bold", color=COLOURS[0])
        axes.tick_params(labelbottom=True)
    within_scores(panels[0, 0], [score.score.mean for curve in curves.values() for score in curve if score])
    figure.supylabel(metric, fontsize=11)
    figure.supxlabel("shots per class", fontsize=11)
    return figure


def _curve(
    axes: Any,
    curve: list[Score | None],
    colour: str,
    marker: str,
    *,
    dashed: bool = False,
    bars: bool = True,
    width: float = 1.8,
    shift: float = 0.0,
) -> None:
    points = [(place + shift, score.score) for place, score in enumerate(curve) if score is not None]
    axes.plot(
        [x for x, _ in points], [found.mean for _, found in points], color=colour, marker=marker, markersize=6,
        linewidth=width, linestyle="--" if dashed else "-",
    )  # fmt: skip
    for x, found in points:
        if bars and found.low == found.low:
            axes.plot([x, x], [found.low, found.high], color=colour, linewidth=1.4)


def _axes(axes: Any, shots: list[str]) -> None:
    axes.set_xticks(range(len(shots)), shots)
    axes.set_xlim(-0.3, len(shots) - 0.7)
    tidy(axes)


def _looks(labels: list[str], reference: str) -> dict[str, tuple[str, str]]:
    others = [label for label in labels if label != reference]
    looks = {label: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(others)}
    return {**looks, reference: (GREY, "o")}


def _distinct(table: Table, backbone: str, source: str) -> list[str]:
    parts = [backbone] * (len(table.backbones) > 1) + [source]
    return ["".join(letter if letter.isalnum() else "-" for letter in part)[:40] for part in parts]
