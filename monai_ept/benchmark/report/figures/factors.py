# SPDX-License-Identifier: Apache-2.0

"""Score against what an ablation varies: a curve for numbers, points side by side for names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monai_ept.benchmark.report.results import plain
from monai_ept.benchmark.report.scores import Scores
from monai_ept.metrics import Interval
from monai_ept.reporting.axes import TOP, equal_spans, name_beside, plot_means, tidy, within_scores
from monai_ept.reporting.figure import COLOURS, GREY, MARKERS, Picture, panels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["depths_of", "draw_factors", "names_apart"]

TITLES = {
    "prompt_length": "Score against prompt length",
    "embed": "Score against the embedding way",
    "c": "Score against the fixed damping c",
    "start": "Score against the start value",
    "recipe": "Score against the recipe",
}
LAYERS = ("prompt_layers", "layers")
DIRECTIONS = {"bottom": "from the bottom", "top": "from the top"}


Curves = Mapping[str, Sequence[tuple[float, Interval]]]
"""Points of each method, or of each direction, in one panel."""


def draw_factors(table: Scores, backbone: str, source: str) -> list[Picture]:
    """One figure for each factor that has at least two values on this data set."""
    cells = table.cells[(table.cells["backbone"] == backbone) & (table.cells["source"] == source)]
    cells = cells.drop_duplicates("label")
    names = dict.fromkeys(name for factors in cells["factors"] for name in factors)
    pictures = [
        _factor(table, backbone, source, name, cells[[name in factors for factors in cells["factors"]]])
        for name in names
    ]
    return [picture for picture in pictures if picture is not None]


def _factor(table: Scores, backbone: str, source: str, name: str, cells: pd.DataFrame) -> Picture | None:
    values: dict[str, Any] = {}
    groups: dict[str, str] = {}  # the curve of each method, named by what else it varies
    for cell in cells.itertuples():
        values[cell.label] = cell.factors[name]
        rest = [f"{key}={plain(item)}" for key, item in sorted(cell.factors.items()) if key != name]
        method = cell.label.removesuffix(f", {values[cell.label]}") if name == "recipe" else cell.group or cell.method
        groups[cell.label] = " ".join([method, *rest])
    if len(set(map(plain, values.values()))) < 2:
        return None
    depths = depths_of(values) if name in LAYERS else {}
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values.values())
    word = name.replace("_", " ")
    title = TITLES.get(name, f"Score against {word}")
    about, lacks = "", f", which does not have {word}"
    places: dict[str, list[tuple[str, float]]] = {}  # of each method: a curve, and where on it
    if depths:
        several = len(set(groups.values())) > 1
        for label, ways in depths.items():
            start = f"{groups[label]} " if several else ""
            places[label] = [(start + DIRECTIONS[way], float(number)) for way, number in ways.items()]
        word, title = "prompted layers", "Score against the number of prompted layers"
        about, lacks = "Layers are added from the input upwards, or from the output downwards. ", ""
    else:
        order = list(dict.fromkeys(map(plain, values.values())))
        for label, value in values.items():
            places[label] = [(groups[label], float(value if numeric else order.index(plain(value))))]
    names = list(dict.fromkeys(curve for points in places.values() for curve, _ in points))
    numbers = sorted({x for points in places.values() for _, x in points})
    log = numeric and numbers[0] > 0 and numbers[-1] / numbers[0] >= 20
    ticks = {x: f"{x:g}" if numeric or depths else order[int(x)].replace("_", "_\n") for x in numbers}
    content = {}
    for column in table.singles:
        there = [label for label in values if (label, column) in table.scores]
        if (column.backbone, column.source) == (backbone, source) and len(there) > 1:
            curves = {
                name: sorted(
                    ((x, table.scores[label, column].score.interval) for label in there for curve, x in places[label]
                     if curve == name), key=lambda point: point[0],
                )
                for name in (sorted(names) if depths else names)
            }  # fmt: skip
            reference = table.scores.get((table.reference, column))
            content[f"{column.shots}-shot"] = (
                {name: points for name, points in curves.items() if points},
                reference.score.interval if reference else None,
            )
    if not content:
        return None
    metric = table.metric_of[source].replace("_", " ")
    caption = f"{metric.capitalize()}. {about}{table.what_is_drawn}."
    if table.reference:
        band = ", with its interval as a band" if table.has_intervals else ""
        caption += f" Dashed{band}: {table.reference}{lacks}."
    if len(content) > 1:
        caption += " All panels have the same scale, at different heights."
    figure, grid = panels(len(content), 3, 5.5 if len(content) == 1 else 3.83, 3.5, sharex=True)
    for axes, (heading, (curves, base)) in zip(grid.flat, content.items(), strict=True):
        _panel(axes, curves, base, lines=bool(numeric or depths), log=log)
        axes.set_title(heading, loc="left", fontsize=11)
        axes.set_xticks(list(ticks), names_apart(ticks) if log else list(ticks.values()))
        axes.minorticks_off()
        if max(len(line) for text in ticks.values() for line in text.split("\n")) * len(ticks) > 44:
            axes.tick_params(axis="x", labelrotation=45)
        if not numeric and not depths:
            axes.set_xlim(-0.5, len(ticks) - 0.5)
        axes.tick_params(labelbottom=True)
    equal_spans(list(grid.flat), top=TOP)
    _direct_labels(grid.flat[-1], curves, base, table.reference)
    figure.supxlabel(word, fontsize=11)
    figure.supylabel(metric, fontsize=11)
    where = table.where(backbone, source)
    return Picture.drawn([name, *where], f"{title}: {', '.join(reversed(where))}", caption, figure)


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


def names_apart(ticks: Mapping[float, str]) -> list[str]:
    """Names of ticks on a logarithmic axis, without those that would run into the next."""
    values = list(ticks)
    room = 0.1 * math.log(values[-1] / values[0])
    kept = [values[-1]]
    for value in values[-2::-1]:
        if math.log(kept[-1] / value) >= room:
            kept.append(value)
    return [text if value in kept else "" for value, text in ticks.items()]


def _panel(axes: Any, curves: Curves, base: Interval | None, *, lines: bool, log: bool) -> None:
    if log:
        axes.set_xscale("log")
    everywhere = [x for points in curves.values() for x, _ in points]
    apart = 0.018 * (max(everywhere) - min(everywhere)) if lines else 0.12
    for number, points in enumerate(curves.values()):
        side = number - (len(curves) - 1) / 2
        wide = (points[-1][0] / points[0][0]) ** (0.012 * side) if log else 1
        places = [x * wide if log else x + apart * side for x, _ in points]
        look: Any = {"color": COLOURS[number % 7], "marker": MARKERS[number % 7], "linestyle": "-" if lines else ""}
        plot_means(axes, places, [found for _, found in points], **look)
    if base is not None:
        axes.axhline(base.value, color=GREY, linestyle="--", linewidth=1.4, zorder=1)
        if base.known:
            axes.axhspan(base.low, base.high, color="#eeeeee", zorder=0)
    tidy(axes, "y")
    within_scores(axes, [found.value for points in curves.values() for _, found in points])


def _direct_labels(axes: Any, curves: Curves, base: Interval | None, reference: str) -> None:
    """Names at the ends of the last panel's curves and of the reference's line."""
    ends = {
        name: (points[-1][0], points[-1][1].value, COLOURS[number % 7])
        for number, (name, points) in enumerate(curves.items())
        if len(curves) > 1  # a single one is named by the figure's title
    }
    if base is not None:
        ends[reference] = axes.get_xlim()[1], base.value, "#555555"
    name_beside(axes, ends, 0.08)
