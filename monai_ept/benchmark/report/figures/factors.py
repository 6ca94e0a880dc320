# SPDX-License-Identifier: Apache-2.0

"""Score against what an ablation varies: a curve for numbers, points side by side for names."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_ept.benchmark.report.results import plain
from monai_ept.benchmark.report.scores import Column, Scores
from monai_ept.metrics import Interval
from monai_ept.reporting.axes import TOP, equal_spans, place_labels, tidy, within_scores
from monai_ept.reporting.figure import COLOURS, GREY, MARKERS, Picture, panels, styled

__all__ = ["depths_of", "draw_factors", "names_apart"]

TITLES = {
    "prompt_length": "Score against prompt length",
    "embed": "Score against the embedding way",
    "c": "Score against the fixed damping c",
    "start": "Score against the start value",
}
LAYERS = ("prompt_layers", "layers")
DIRECTIONS = {"bottom": "from the bottom", "top": "from the top"}


@dataclass
class _Curve:
    """Points of one method, or one direction, in one panel."""

    name: str
    points: list[tuple[float, Interval]] = field(default_factory=list)
    reference: Interval | None = None


def draw_factors(table: Scores, backbone: str, source: str) -> list[Picture]:
    """One figure for each factor that has at least two values on this data set."""
    factors: dict[str, dict[str, Any]] = defaultdict(dict)  # by factor and group: label -> value
    others: dict[str, dict[str, str]] = defaultdict(dict)
    for cell in table.cells.itertuples():
        if cell.backbone == backbone and cell.source == source:
            for name, value in cell.factors.items():
                factors[name][cell.label] = value
                rest = [f"{key}={plain(item)}" for key, item in sorted(cell.factors.items()) if key != name]
                others[name][cell.label] = " ".join([cell.group or cell.method, *rest])
    pictures = []
    for name, values in factors.items():
        if len({plain(value) for value in values.values()}) > 1:
            draw = _depth if name in LAYERS and depths_of(values) else _factor
            picture = draw(table, backbone, source, name, values, others[name])
            if picture is not None:
                pictures.append(picture)
    return pictures


def _factor(
    table: Scores, backbone: str, source: str, name: str, values: Mapping[str, Any], groups: Mapping[str, str]
) -> Picture | None:
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values.values())
    order = list(dict.fromkeys(plain(value) for value in values.values()))
    columns = _columns(table, backbone, source, values)
    names = list(dict.fromkeys(groups.values()))
    curves_of: dict[str, list[_Curve]] = {}
    for column in columns:
        curves = {group: _Curve(group) for group in names}
        for label, value in values.items():
            score = table.scores.get((label, column))
            if score is not None:
                x = float(value) if numeric else float(order.index(plain(value)))
                curves[groups[label]].points.append((x, score.score.interval))
        base = table.scores.get((table.reference, column))
        for curve in curves.values():
            curve.points.sort(key=lambda point: point[0])
            curve.reference = base.score.interval if base else None
        curves_of[f"{column.shots}-shot"] = [curve for curve in curves.values() if curve.points]
    word = name.replace("_", " ")
    places = [float(value) for value in values.values()] if numeric else []
    log = numeric and min(places) > 0 and max(places) / min(places) >= 20
    title = TITLES.get(name, f"Score against {word}")
    caption = f"Mean and 95 % interval over {table.unit}s."
    if table.reference:
        caption += f" Dashed, with its interval as a band: {table.reference}, which does not have {word}."
    ticks = (
        {value: f"{value:g}" for value in sorted(set(places))}
        if numeric
        else {float(place): text.replace("_", "_\n") for place, text in enumerate(order)}
    )
    return _draw(table, backbone, source, name, title, caption, curves_of, ticks, word, log=log, lines=numeric)


def _depth(
    table: Scores, backbone: str, source: str, name: str, values: Mapping[str, Any], groups: Mapping[str, str]
) -> Picture | None:
    depths = depths_of(values)
    columns = _columns(table, backbone, source, values)
    curves_of: dict[str, list[_Curve]] = {}
    several = len(set(groups.values())) > 1
    for column in columns:
        curves: dict[str, _Curve] = {}
        for label in values:
            score = table.scores.get((label, column))
            for direction, depth in depths[label].items() if score is not None else ():
                key = f"{groups[label]} {DIRECTIONS[direction]}" if several else DIRECTIONS[direction]
                curves.setdefault(key, _Curve(key)).points.append((float(depth), score.score.interval))  # type: ignore[union-attr]
        base = table.scores.get((table.reference, column))
        for curve in curves.values():
            curve.points.sort(key=lambda point: point[0])
            curve.reference = base.score.interval if base else None
        curves_of[f"{column.shots}-shot"] = [curves[key] for key in sorted(curves)]
    numbers = sorted({depth for ways in depths.values() for depth in ways.values()})
    caption = "Layers are added from the input upwards, or from the output downwards. "
    caption += f"Mean and 95 % interval over {table.unit}s."
    if table.reference:
        caption += f" Dashed, with its interval as a band: {table.reference}."
    ticks = {float(number): str(number) for number in numbers}
    return _draw(
        table, backbone, source, name, "Score against the number of prompted layers", caption, curves_of, ticks,
        "prompted layers",
    )  # fmt: skip


def depths_of(values: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """
    How many layers each value takes, from the bottom or from the top; all of them are both.

    Empty when a value is something else, such as every second layer.
    """
    lists = [value for value in values.values() if isinstance(value, (list, tuple))]
    highest = max((max(layers, default=-1) for layers in lists), default=-1)
    lowest = min((min(layers, default=0) for layers in lists), default=0)
    total = max([highest + 1, -lowest, *(len(layers) for layers in lists)])
    found: dict[str, dict[str, int]] = {}
    for label, value in values.items():
        if value == "shallow":
            value = [0]
        elif value == "deep":
            value = list(range(total))
        if not isinstance(value, (list, tuple)) or not value:
            return {}
        layers = sorted({layer % total for layer in value})
        ways = {}
        if layers == list(range(len(layers))):
            ways["bottom"] = len(layers)
        if layers == list(range(total - len(layers), total)):
            ways["top"] = len(layers)
        if not ways:
            return {}
        found[label] = ways
    return found


def _columns(table: Scores, backbone: str, source: str, values: Mapping[str, Any]) -> list[Column]:
    return [
        column
        for column in table.singles
        if column.backbone == backbone
        and column.source == source
        and sum((label, column) in table.scores for label in values) > 1
    ]


def _draw(
    table: Scores,
    backbone: str,
    source: str,
    name: str,
    title: str,
    caption: str,
    curves_of: Mapping[str, Sequence[_Curve]],
    ticks: Mapping[float, str],
    word: str,
    *,
    log: bool = False,
    lines: bool = True,
) -> Picture | None:
    if not curves_of:
        return None
    metric = table.metric_of[source].replace("_", " ")
    with styled(name):
        figure, grid = panels(len(curves_of), 3, 5.5 if len(curves_of) == 1 else 3.83, 3.5, sharex=True)
        for axes, (heading, curves) in zip(grid.flat, curves_of.items(), strict=True):
            _panel(axes, curves, lines, log)
            within_scores(axes, [found.value for curve in curves for _, found in curve.points])
            axes.set_title(heading, loc="left", fontsize=11)
            axes.set_xticks(list(ticks), names_apart(ticks) if log else list(ticks.values()))
            axes.minorticks_off()
            if max(len(line) for text in ticks.values() for line in text.split("\n")) * len(ticks) > 44:
                axes.tick_params(axis="x", labelrotation=45)
            if not lines:
                axes.set_xlim(-0.5, len(ticks) - 0.5)
            axes.tick_params(labelbottom=True)
        equal_spans(list(grid.flat), top=TOP)
        _direct_labels(grid.flat[-1], list(curves_of.values())[-1], table.reference)
        figure.supxlabel(word, fontsize=11)
        figure.supylabel(metric, fontsize=11)
        where = [backbone] * (len(table.backbones) > 1) + [source]
        return Picture.drawn(
            [name, *where],
            f"{title}: {', '.join(reversed(where))}",
            f"{metric.capitalize()}. {caption} All panels have the same scale, at different heights."
            if len(curves_of) > 1
            else f"{metric.capitalize()}. {caption}",
            figure,
        )


def names_apart(ticks: Mapping[float, str]) -> list[str]:
    """Names of ticks on a logarithmic axis, without those that would run into the next."""
    values = list(ticks)
    room = 0.1 * math.log(values[-1] / values[0])
    kept = [values[-1]]
    for value in values[-2::-1]:
        if math.log(kept[-1] / value) >= room:
            kept.append(value)
    return [text if value in kept else "" for value, text in ticks.items()]


def _panel(axes: Any, curves: Sequence[_Curve], lines: bool, log: bool) -> None:
    if log:
        axes.set_xscale("log")
    places = [x for curve in curves for x, _ in curve.points]
    apart = 0.018 * (max(places) - min(places)) if lines else 0.12
    for number, curve in enumerate(curves):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        shift = 0.0 if log else apart * (number - (len(curves) - 1) / 2)
        places = [x + shift for x, _ in curve.points]
        if log:
            wide = (max(places) / min(places)) ** (0.012 * (number - (len(curves) - 1) / 2))
            places = [x * wide for x in places]
        axes.plot(
            places, [found.value for _, found in curve.points], color=colour, marker=marker, markersize=6.5,
            linewidth=1.8, linestyle="-" if lines else "", label=curve.name,
        )  # fmt: skip
        for x, (_, found) in zip(places, curve.points, strict=True):
            if found.known:
                axes.plot([x, x], [found.low, found.high], color=colour, linewidth=1.5)
    base = curves[0].reference if curves else None
    if base is not None:
        axes.axhline(base.value, color=GREY, linestyle="--", linewidth=1.4, zorder=1)
        if base.known:
            axes.axhspan(base.low, base.high, color="#eeeeee", zorder=0)
    tidy(axes, "y")


def _direct_labels(axes: Any, curves: Sequence[_Curve], reference: str) -> None:
    """Names at the ends of the last panel's curves and of the reference's line."""
    labels = [(curve.name, curve.points[-1][1].value, COLOURS[n % len(COLOURS)]) for n, curve in enumerate(curves)]
    if len(labels) < 2:
        labels = []  # the figure's title names it
    if curves and curves[0].reference is not None:
        labels.append((reference, curves[0].reference.value, "#555555"))
    if not labels:
        return
    low, high = axes.get_ylim()
    places = place_labels([end for _, end, _ in labels], 0.08 * (high - low), low, high)
    for (name, _, colour), place in zip(labels, places, strict=True):
        axes.annotate(
            name, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=10,
            fontweight="bold", color=colour, annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(low, high)
