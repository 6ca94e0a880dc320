# SPDX-License-Identifier: Apache-2.0

"""Are classes tighter, and easier to tell apart? ``distances.csv``, ``per_class.csv``, ``points.csv`` and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.analysis.collect import Features
from monai_ept.analysis.distances import Change, class_distances, compare_features, compare_widths
from monai_ept.analysis.image_choice import FEWEST_IMAGES, left_out
from monai_ept.analysis.project_2d import FEWEST_POINTS, density_levels, first_component, plane, tsne, turned, umap
from monai_ept.analysis.sections.output import Output
from monai_ept.reporting.axes import quiet, robust_limits, short
from monai_ept.reporting.figure import BLUE, GREY, INK, class_colours, figure_of, panels
from monai_ept.reporting.numbers import decimal, measured
from monai_ept.reporting.page import Cell, Section, Table
from monai_ept.reporting.prose import sentences

__all__ = [
    "about_distances",
    "along_main_direction",
    "draw_components",
    "draw_densities",
    "draw_neighbours",
    "features_section",
]

WORDS = Path(__file__).with_suffix(".jinja")
TITLE = "Features: within classes and between them"

MEASURES = {
    "within_share": ("Within-class share of the spread", "Σ_W / (Σ_W + Σ_B); has no unit, good when low", -1),
    "silhouette": ("Silhouette", "from −1 to 1, good when high", 1),
    "separability": ("Linear separability", "balanced accuracy on groups not seen, good when high", 1),
    "within": ("Within-class spread, trace of Σ_W", "the paper's intra-class distance, in the features' own unit", 0),
    "between": ("Between-class spread, trace of Σ_B", "in the features' own unit", 0),
    "total": ("Spread of all images", "the sum of both: how large the features are", 0),
}
"""Title, explanation, and the direction that is good: 1 up, −1 down, 0 neither."""


def features_section(
    out: Output, features: Features, classes: np.ndarray, class_names: Sequence[str], *, task: str, seed: int
) -> tuple[Section, dict[str, Change]]:
    """
    Compare the features of the tuned network with those of the pretrained one.

    Args:
        classes: which class each image counts as, see ``single_classes``; -1 is left out, and so are classes of fewer
            than five images.

    Returns:
        the section, and ``compare_features``'s measures; none where fewer than two classes have five images.
    """
    counts = np.bincount(classes[classes >= 0], minlength=len(class_names))
    enough = np.flatnonzero(counts >= FEWEST_IMAGES)
    rare = left_out(counts, class_names)
    if len(enough) < 2:
        return Section(TITLE, sentences=[*sentences(WORDS, "too_few", fewest=FEWEST_IMAGES), *rare]), {}
    several, present = int((classes < 0).sum()), len(enough)
    single = np.flatnonzero(np.isin(classes, enough))
    classes = classes[single]
    both = pretrained, tuned = features.pretrained[single], features.tuned[single]
    groups = [features.groups[index] for index in single]
    changes, parts = compare_features(*both, classes, groups, len(class_names), seed=seed)

    out.csv(
        "distances",
        ["measure", "pretrained", "tuned", "difference", "difference_low", "difference_high"],
        [[name, one.pretrained, one.tuned, one.difference, one.low, one.high] for name, one in changes.items()],
    )
    spreads = [class_distances(x, classes, len(class_names)) for x in both]
    shares = [one.per_class / one.total if one.total else np.full(len(class_names), np.nan) for one in spreads]
    columns = [class_names, counts, *(one.per_class for one in spreads), *shares]
    header = ["class", "images", "within_pretrained", "within_tuned", "within_share_pretrained", "within_share_tuned"]
    out.csv("per_class", header, zip(*columns, strict=True))

    pictures, places = [], {}
    if out.draws:
        positions = along_main_direction(*both, classes, len(class_names))
        widths = compare_widths(positions, classes, groups, seed=seed)
        clear = [one.difference for one in widths.values() if one.clear]
        narrower = sum(difference < 0 for difference in clear)
        figure = draw_components(positions, widths, class_names)
        told: dict[str, int] = {"narrower": narrower, "wider": len(clear) - narrower, "of": len(widths)}
        pictures.append(out.picture(WORDS, "components", figure, fewest=FEWEST_POINTS, **told))
        figure = draw_densities(*both, classes, class_names)
        pictures.append(out.picture(WORDS, "densities", figure, fewest=FEWEST_POINTS))
        start = plane(pretrained)
        places["t-SNE"] = tsne(pretrained, start, seed), tsne(tuned, start, seed)
        before, after = umap(pretrained, seed), umap(tuned, seed)
        if before is not None and after is not None:
            places["UMAP"] = before, turned(after, before)
        for name, pair in places.items():
            figure = draw_neighbours(*pair, classes, class_names, name)
            pictures.append(out.picture(WORDS, name.lower().replace("-", ""), figure, projection=name))
    if places:
        header = [f"{name}_{side}_{axis}" for name in places for side in ("pretrained", "tuned") for axis in "xy"]
        points = np.concatenate([points for pair in places.values() for points in pair], axis=1)
        rows = [[features.ids[i], class_names[k], *place] for i, k, place in zip(single, classes, points, strict=True)]
        out.csv("points", ["id", "class", *header], rows)

    chance = (present - 1) / max(len(classes) - 1, 1)
    section = Section(
        TITLE,
        sentences=[*about_distances(changes, present), *rare],
        tables=[_table(changes)],
        pictures=pictures,
        notes=sentences(WORDS, "notes", parts=parts, chance=chance, task=task, several=several),
    )
    return section, changes


def _table(changes: Mapping[str, Change]) -> Table:
    """The measures with their difference and its interval; a measure without a good direction gets no verdict."""
    rows: list[list[str | Cell]] = []
    for name, (title, what, good) in MEASURES.items():
        if (one := changes.get(name)) is None:
            continue
        verdict = Cell("not told apart", kind="same")
        if one.clear and good:
            better = one.difference * good > 0
            verdict = Cell("better", kind="good") if better else Cell("worse", kind="bad")
        elif one.clear:
            verdict = Cell("lower" if one.difference < 0 else "higher")
        # One digit more where a difference would be lost.
        written = partial(decimal, digits=4) if 0 < abs(one.difference) < 0.005 else measured
        difference, low, high = (written(value, signed=True) for value in (one.difference, one.low, one.high))
        interval = Cell(difference, below=[] if np.isnan(one.low) else [f"{low} to {high}"])
        rows.append([Cell(title, below=[what]), written(one.pretrained), written(one.tuned), interval, verdict])
    return Table(["measure", "pretrained", "tuned", "difference, 95 % interval", ""], rows, numbers=(1, 2, 3))


def about_distances(changes: Mapping[str, Change], num_classes: int) -> list[str]:
    """What ``compare_features`` found, in words; so many classes have images."""
    return sentences(WORDS, "about_distances", changes=changes, num_classes=num_classes)


def draw_components(
    positions: Mapping[int, Sequence[np.ndarray]], widths: Mapping[int, Change], class_names: Sequence[str]
) -> Any:
    """
    For each class where its images lie along its own first principal component, pretrained against tuned.

    Args:
        positions: what ``along_main_direction`` found. Their unit is the root of the total spread of all classes, so
            that a narrower histogram is a tighter class whatever the size of the features.
    """
    from matplotlib.patches import Patch

    figure, grid = panels(len(positions), 4, 2.3, 1.8)
    reach = max((float(np.abs(np.concatenate(pair)).max()) for pair in positions.values()), default=1.0)
    for (k, pair), (axes,) in zip(positions.items(), grid, strict=True):
        if len(pair[0]) < FEWEST_POINTS:
            # Each image at its place, those of one network on one strip, with the width as a bar under it.
            for height, places, colour in ((0.74, pair[0], INK), (0.3, pair[1], BLUE)):
                axes.scatter(places, np.full(len(places), height), s=16, color=colour, alpha=0.55, linewidth=0)
                axes.plot([-places.std(), places.std()], [height - 0.14] * 2, color=colour, linewidth=1.4)
            axes.set_ylim(0, 1)
        else:
            edges = np.linspace(-reach, reach, int(np.clip(2 * np.sqrt(len(pair[0])), 6, 24)) + 1)
            axes.hist(pair[1], edges, density=True, color=BLUE, alpha=0.75)
            axes.hist(pair[0], edges, density=True, histtype="step", color=INK, linewidth=1.3)
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
        axes.set_title(f"{short(class_names[k])} ({len(pair[0])})", fontsize=9, loc="left", color=INK)
        told = "not told apart" if not widths[k].clear else "narrower" if widths[k].difference < 0 else "wider"
        text = f"{widths[k].pretrained:.2f} → {widths[k].tuned:.2f}, {told}"
        axes.text(0.98, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=7.5, color=GREY)
        quiet(axes, ticks=True)
        axes.set_yticks([])
    handles = [Patch(color=BLUE, alpha=0.75, label="tuned"), Patch(fill=False, edgecolor=INK, label="pretrained")]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    figure.supxlabel("first principal component of the class, in units of the total spread", fontsize=9)
    return figure


def along_main_direction(
    pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, num_classes: int
) -> dict[int, list[np.ndarray]]:
    """Positions of each class's images in both features, in units of the root of each one's total spread."""
    sizes = [np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()) or 1.0 for x in (pretrained, tuned)]
    found = {}
    for k in range(num_classes):
        if (classes == k).sum() > 1:
            before, after = (first_component(x[classes == k]) for x in (pretrained, tuned))
            # Which way it points is chance: the same way for both.
            found[k] = [before / sizes[0], after * (-1 if before @ after < 0 else 1) / sizes[1]]
    return found


def draw_densities(pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, class_names: Sequence[str]) -> Any:
    """
    For each class the contours that hold half and nine tenths of its images, before all images in grey.

    Both rows show the first two principal components of all images, each of its own features; the lower one is turned
    to match the upper.
    """
    present = [k for k in range(len(class_names)) if (classes == k).any()]
    columns = len(present) if len(present) <= 7 else 5
    side = min(2.3, 10.9 / columns)
    figure, grid = panels(len(present), columns, side, side + 0.05, rows_each=2)
    colours = class_colours(len(class_names))
    size = float(np.clip(400 / len(pretrained), 2, 9))  # of the dots of all images: the fewer, the larger
    before = plane(pretrained)
    for row, points in enumerate((before, turned(plane(tuned), before))):
        low, high = np.array([robust_limits(points[:, axis]) for axis in (0, 1)]).T
        xs, ys = (np.linspace(low[axis], high[axis], 90) for axis in (0, 1))
        for k, column in zip(present, grid, strict=True):
            axes, own = column[row], points[classes == k]
            axes.scatter(*points.T, s=size, color="#c9d0d7", linewidth=0, zorder=1)
            found = density_levels(own, xs, ys)
            if found is None:  # too few for a density
                axes.scatter(*own.T, s=18, color=colours[k], linewidth=0.4, edgecolor=INK, zorder=3)
            else:
                density, levels = found
                axes.contourf(xs, ys, density, [*levels, np.inf], colors=[colours[k]] * 2, alpha=0.3, zorder=2)
                axes.contour(xs, ys, density, levels, colors=[colours[k]], linewidths=1.1, zorder=3)
            if len(own) > 1:
                axes.plot(*own.mean(axis=0), "+", color=INK, markersize=6, markeredgewidth=1.2, zorder=4)
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            quiet(axes)
            if row == 0:
                axes.set_title(f"{short(class_names[k], 14)} ({len(own)})", fontsize=8.5, loc="left", color=INK)
            if axes.get_subplotspec().is_first_col():
                axes.set_ylabel(("pretrained", "tuned")[row], fontsize=9)
    return figure


def draw_neighbours(
    pretrained: np.ndarray, tuned: np.ndarray, classes: np.ndarray, class_names: Sequence[str], name: str
) -> Any:
    """All images of all classes, pretrained beside tuned, each a dot at its place ``(images, 2)`` in a projection."""
    labels = {k: short(label, 24) for k, label in enumerate(class_names) if (classes == k).any()}
    figure = figure_of(9.2, 4.2)
    colours = class_colours(len(class_names))
    for axes, points, title in zip(figure.subplots(1, 2), (pretrained, tuned), ("pretrained", "tuned"), strict=True):
        for k, label in labels.items():
            axes.scatter(*points[classes == k].T, s=16, color=colours[k], linewidth=0.3, edgecolor="white", label=label)
        axes.set_title(f"{name}, {title}", fontsize=10, loc="left", color=INK)
        quiet(axes)
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
    look = {"frameon": False, "fontsize": 9, "markerscale": 1.6, "handletextpad": 0.2, "columnspacing": 1.2}
    for columns in range(min(7, len(labels)), 0, -1):  # as many names in a line as there is room for
        legend = figure.legend(loc="outside lower center", ncols=columns, handles=axes.collections, **look)
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(4.2 + 0.18 * (-(-len(labels) // columns) - 1))
    return figure
