# SPDX-License-Identifier: Apache-2.0

"""Score against the number of shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_ept.benchmark.report.scores import Scores
from monai_ept.metrics import Interval
from monai_ept.reporting.axes import name_beside, plot_means, tidy, within_scores
from monai_ept.reporting.figure import COLOURS, GREY, MARKERS, Picture, figure_of, panels

__all__ = ["curves_of", "draw_shots", "plot_shots"]

FEW = 6
"""Methods that one panel can hold; more get a panel each."""
FAINT = "#cfcfcf"

Curve = Sequence[Interval | None]


def draw_shots(table: Scores, backbone: str, source: str) -> Picture | None:
    """Mean and 95 % interval by number of shots; None with a single number."""
    shots, curves = curves_of(table, backbone, source)
    curves = {label: curve for label, curve in curves.items() if sum(one is not None for one in curve) > 1}
    if len(shots) < 2 or not curves.keys() - {table.reference}:
        return None
    metric = table.metric_of[source].replace("_", " ")
    how = ""
    if len(curves) <= FEW:
        figure = figure_of(9.5, 5.0)
        axes = figure.add_subplot()
        plot_shots(axes, curves, shots, table.reference)
        axes.set_ylabel(metric)
    else:
        how = " One panel for each method, from best to worst."
        figure = _apart(curves, shots, metric, table.reference)
    where = table.where(backbone, source)
    return Picture.drawn(
        ["shots", *where],
        f"Score against shots: {', '.join(reversed(where))}",
        f"{metric.capitalize()}. {table.what_is_drawn}.{how}",
        figure,
    )


def curves_of(table: Scores, backbone: str, source: str) -> tuple[list[str], dict[str, Curve]]:
    """Numbers of shots, and the score of each method at each; those of a group are curves of another figure."""
    columns = [column for column in table.singles if column.backbone == backbone and column.source == source]
    curves: dict[str, Curve] = {}
    for label in table.labels:
        scores = [table.scores.get((label, column)) for column in columns]
        if label not in table.groups and any(scores):
            curves[label] = [found.score.interval if found else None for found in scores]
    return [str(column.shots) for column in columns], curves


def plot_shots(axes: Any, curves: Mapping[str, Curve], shots: Sequence[str], reference: str) -> None:
    """All curves on axes that are there, each with its name at its end."""
    others = [label for label in curves if label != reference]
    looks = {label: (COLOURS[i % 7], MARKERS[(i + i // 7) % 7], "-") for i, label in enumerate(others)}
    looks[reference] = (GREY, "o", "--")
    apart = min(0.05, 0.4 / len(curves))
    ends = {}
    for number, (label, curve) in enumerate(curves.items()):
        places, means = _points(curve, apart * (number - (len(curves) - 1) / 2))
        colour, marker, line = looks[label]
        plot_means(axes, places, means, color=colour, marker=marker, linestyle=line)
        ends[label] = places[-1], means[-1].value, colour
    _shot_axis(axes, shots)
    within_scores(axes, [mean for _, mean, _ in ends.values()])
    name_beside(axes, ends)
    axes.set_xlabel("shots per class")


def _apart(curves: Mapping[str, Curve], shots: Sequence[str], metric: str, reference: str) -> Any:
    labels = [label for label in curves if label != reference]
    figure, grid = panels(len(labels), 5, 2.3, 2.25, sharex=True, sharey=True)
    for name, axes in zip(labels, grid.flat, strict=True):
        for label, curve in curves.items():
            if label not in (name, reference):
                plot_means(axes, *_points(curve), bars=False, color=FAINT, linewidth=1)
        if reference in curves:
            plot_means(axes, *_points(curves[reference]), bars=False, color=GREY, linewidth=1.6, linestyle="--")
        plot_means(axes, *_points(curves[name]), color=COLOURS[0], marker="o")
        _shot_axis(axes, shots)
        axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=COLOURS[0])
        axes.tick_params(labelbottom=True)
    within_scores(grid.flat[0], [found.value for curve in curves.values() for found in curve if found])
    figure.supylabel(metric, fontsize=11)
    figure.supxlabel("shots per class", fontsize=11)
    _name_lines(figure, reference if reference in curves else "")
    return figure


def _name_lines(figure: Any, reference: str) -> None:
    """What the lines are that every panel has, above all of them."""
    from matplotlib.lines import Line2D

    lines: dict[str, dict[str, Any]] = {
        "the method of the title": {"color": COLOURS[0], "marker": "o", "linewidth": 1.8}
    }
    if reference:
        lines[reference] = {"color": GREY, "linestyle": "--", "linewidth": 1.6}
    lines["all other methods"] = {"color": FAINT, "linewidth": 1}
    handles = [Line2D([], [], label=name, **look) for name, look in lines.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=11)


def _points(curve: Curve, shift: float = 0.0) -> tuple[list[float], list[Interval]]:
    """Places and scores, of those numbers of shots that have one."""
    there = [(place + shift, found) for place, found in enumerate(curve) if found is not None]
    return [place for place, _ in there], [found for _, found in there]


def _shot_axis(axes: Any, shots: Sequence[str]) -> None:
    axes.set_xticks(range(len(shots)), shots)
    axes.set_xlim(-0.3, len(shots) - 0.7)
    tidy(axes, "y")
