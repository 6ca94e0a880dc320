# SPDX-License-Identifier: Apache-2.0

"""Which regions are damped? ``kept.csv``, ``kept_tokens.csv``, and ``kept_X.png``, drawn by ``draw_kept_X``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.analysis.kept_attention import ScalingMaps, prompted_layers
from monai_ept.analysis.sections.output import Output
from monai_ept.model import TunedViT
from monai_ept.reporting.axes import quiet, short
from monai_ept.reporting.figure import BLUE, GREY, INK, RED, figure_of, panels
from monai_ept.reporting.page import Section
from monai_ept.reporting.prose import sentences

__all__ = [
    "about_kept",
    "attention_section",
    "draw_kept_classes",
    "draw_kept_examples",
    "draw_kept_layers",
    "draw_kept_maps",
]

WORDS = Path(__file__).with_suffix(".jinja")
TITLE = "Attention: which regions are damped?"
MOST_CELLS = 2_000_000
MAP, APART = "viridis", "RdBu_r"


def attention_section(
    out: Output,
    net: TunedViT,
    maps: ScalingMaps | None,
    class_names: Sequence[str],
    examples: Mapping[int, tuple[str, np.ndarray]],
) -> Section:
    """
    Show how much of its attention each token keeps.

    Args:
        out: where to write.
        net: the network, which says why there is nothing to show.
        maps: its factors g; None where its method scales nothing.
        class_names: one name per class.
        examples: class name and picture of single images, by their row in the maps.
    """
    if maps is None:
        prompted = bool(prompted_layers(net))
        return Section(TITLE, notes=sentences(WORDS, "why_nothing", method=net.method_name, prompted=prompted))
    # All images and then each class: (layers, 1 + classes, tokens).
    means = np.stack([maps.mean, *maps.class_means], axis=1)
    parts = {f"prefix_{token}": slice(token, token + 1) for token in range(maps.num_prefix)}
    parts["patches"] = slice(maps.num_prefix, None)
    kept = [
        [layer, name, *mean[:, where].mean(axis=1)]
        for layer, mean in zip(maps.layers, means, strict=True)
        for name, where in parts.items()
    ]
    out.csv("kept", ["layer", "token", "all", *class_names], kept)
    if means.size <= MOST_CELLS:
        axes = [f"place_{axis}" for axis in range(len(maps.grid))]
        places = [[""] * len(axes)] * maps.num_prefix + list(np.ndindex(maps.grid))
        tokens = [
            [layer, token, *place, *mean[:, token]]
            for layer, mean in zip(maps.layers, means, strict=True)
            for token, place in enumerate(places)
        ]
        out.csv("kept_tokens", ["layer", "token", *axes, "all", *class_names], tokens)

    volume = " (middle slice of the volume)" if len(maps.grid) == 3 else ""
    pictures = []
    if out.draws:
        pictures.append(out.picture(WORDS, "kept_layers", draw_kept_layers(maps, class_names)))
        pictures.append(out.picture(WORDS, "kept_maps", draw_kept_maps(maps), volume=volume))
        if (maps.counts > 0).sum() > 1:
            pictures.append(out.picture(WORDS, "kept_classes", draw_kept_classes(maps, class_names), volume=volume))
        # Photographs make large files.
        pictures.append(out.picture(WORDS, "kept_examples", draw_kept_examples(maps, examples), dpi=110, volume=volume))
    about, notes = about_kept(maps, class_names), sentences(WORDS, "notes")
    return Section(TITLE, sentences=about, pictures=pictures, notes=notes)


def about_kept(maps: ScalingMaps, class_names: Sequence[str]) -> list[str]:
    """Which layers, tokens, regions and classes keep how much of their attention."""
    where = maps.to_map(maps.mean).mean(axis=0)
    inside = np.zeros(where.shape, dtype=bool)  # the central half of each side
    inside[tuple(slice(side // 4, side - side // 4) for side in where.shape)] = True
    parts = (None, None) if inside.all() else (where[inside].mean(), where[~inside].mean())
    of_classes = maps.class_means[..., maps.num_prefix :].mean(axis=(1, 2))
    return sentences(
        WORDS,
        "about_kept",
        kept=maps.patches.mean(axis=0),
        layers=maps.layers,
        prefix=_prefix_name(maps) if maps.num_prefix else "",
        prefix_kept=maps.prefixes.mean() if maps.num_prefix else 1.0,
        middle=parts[0],
        rim=parts[1],
        classes=sorted((of_classes[k], class_names[k]) for k in np.flatnonzero(maps.counts > 0).tolist()),
    )


def draw_kept_layers(maps: ScalingMaps, class_names: Sequence[str]) -> Any:
    """Share kept by layer: patches with their spread over images, prefix tokens apart; and each class against all."""
    figure = figure_of(9.6, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    layers = [layer + 1 for layer in maps.layers]
    low, high = np.percentile(maps.patches, [2.5, 97.5], axis=0)
    # A single layer has no line to fill between, but a bar.
    around = layers if len(layers) > 1 else [layers[0] - 0.12, layers[0] + 0.12]
    left.fill_between(around, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % of images")
    left.plot(layers, maps.patches.mean(axis=0), "o-", color=BLUE, markersize=3.5, label="patches")
    # Hollow, so that what lies below is seen.
    hollow = {"markerfacecolor": "none", "markersize": 5}
    if maps.num_prefix:
        name = "class token" if maps.num_prefix == 1 else "first prefix token"
        left.plot(layers, maps.prefixes[..., 0].mean(axis=0), "s--", color=RED, label=name, **hollow)
    if maps.num_prefix > 1:
        others = maps.prefixes[..., 1:].mean(axis=(0, 2))
        left.plot(layers, others, "^:", color=GREY, label="other prefix tokens", **hollow)
    left.set_ylim(0, 1.02)
    left.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    left.set_xlabel("layer", fontsize=9)
    left.set_ylabel("share of attention kept, g", fontsize=9)
    left.legend(frameon=False, fontsize=8.5, loc="best")
    quiet(left, ticks=True)
    left.set_xticks(layers)

    present = np.flatnonzero(maps.counts > 0).tolist()
    apart = (maps.class_means[present] - maps.mean)[..., maps.num_prefix :].mean(axis=-1) * 100
    reach = max(float(np.abs(apart).max()), 0.01)
    image = right.imshow(apart, cmap=APART, vmin=-reach, vmax=reach, aspect="auto")
    right.set_xticks(range(len(layers)), layers)
    right.set_yticks(range(len(present)), [short(class_names[k]) for k in present])
    right.tick_params(labelsize=8, length=0)
    right.set_xlabel("layer", fontsize=9)
    right.set_title("patches of a class against all images", fontsize=9.5, loc="left", color=INK)
    right.spines[:].set_visible(False)
    _bar(figure, image, right, fraction=0.05)
    return figure


def draw_kept_maps(maps: ScalingMaps) -> Any:
    """The mean map of every layer over the image, each with its own range of colours, which stands below it."""
    figure, grid = panels(len(maps.layers), 6, 1.5, 1.98)
    for layer, one, mean, (axes,) in zip(maps.layers, maps.to_map(maps.mean), maps.mean, grid, strict=True):
        prefix = f"\n{_prefix_name(maps)} {mean[: maps.num_prefix].mean():.2f}" if maps.num_prefix else ""
        _bare(axes, f"layer {layer + 1}", _ends(one) + prefix)
        axes.imshow(one, cmap=MAP, **_range(one))
    return figure


def draw_kept_classes(maps: ScalingMaps, class_names: Sequence[str]) -> Any:
    """The mean map over layers and images, and by how much each class's differs from it, in one scale."""
    present = np.flatnonzero(maps.counts > 0).tolist()
    overall = maps.to_map(maps.mean).mean(axis=0)
    apart = [100 * (maps.to_map(maps.class_means[k]).mean(axis=0) - overall) for k in present]
    figure, grid = panels(len(present) + 1, 4 if len(present) <= 7 else 5, 2.1, 2.05)
    _bare(grid[0][0], "all images", f"kept {_ends(overall)}")
    grid[0][0].imshow(overall, cmap=MAP, **_range(overall))
    reach = max(float(np.percentile(np.abs(apart), 99.5)), 0.01)
    for k, one, (axes,) in zip(present, apart, grid[1:], strict=True):
        mean = f"{one.mean():+.2f} on average".replace("-", "−")
        _bare(axes, f"{short(class_names[k])} ({maps.counts[k]})", mean)
        image = axes.imshow(one, cmap=APART, vmin=-reach, vmax=reach)
    _bar(figure, image, [column[0] for column in grid], fraction=0.025)
    return figure


def draw_kept_examples(maps: ScalingMaps, examples: Mapping[int, tuple[str, np.ndarray]]) -> Any:
    """
    Single images, each with its factors laid over them: first, middle and last prompted layer, and the mean of all.

    Args:
        maps: the factors.
        examples: class name and picture of each, by its row in the maps; pictures have their channels last and lie in
            [0, 1].
    """
    number = len(maps.layers)
    chosen = sorted({0, number // 2, number - 1})
    columns = len(chosen) + (number > 1)
    figure = figure_of(1.75 * (columns + 1), 1.95 * len(examples))
    grid = figure.subplots(len(examples), columns + 1, squeeze=False)
    for row, (image, (name, picture)) in zip(grid, examples.items(), strict=True):
        _bare(row[0], name)
        row[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
        grey = picture.mean(axis=-1) if picture.ndim == 3 else picture
        values = maps.to_map(maps.kept[image])
        shown = [(f"layer {maps.layers[index] + 1}", values[index]) for index in chosen]
        shown += [("mean of layers", values.mean(axis=0))] if number > 1 else []
        extent = (-0.5, grey.shape[1] - 0.5, grey.shape[0] - 0.5, -0.5)
        for axes, (title, one) in zip(row[1:], shown, strict=True):
            _bare(axes, f"{title}: {_ends(one)}")
            axes.imshow(grey, cmap="gray", vmin=-0.7, vmax=1.0)  # pale, so that the colours stay true
            axes.imshow(one, cmap=MAP, alpha=0.6, extent=extent, interpolation="nearest", **_range(one))
    return figure


def _prefix_name(maps: ScalingMaps) -> str:
    return "class token" if maps.num_prefix == 1 else "prefix tokens"


def _range(values: np.ndarray) -> dict[str, float]:
    """The range of colours leaves out a few odd patches, in the corners mostly, which would hide all others."""
    return dict(zip(("vmin", "vmax"), np.percentile(values, [2, 98]).tolist(), strict=True))


def _ends(values: np.ndarray) -> str:
    """Least and most, with as many digits as it takes to tell them apart."""
    for digits in (2, 3, 4):
        low, high = (f"{value:.{digits}f}" for value in (values.min(), values.max()))
        if low != high:
            break
    return f"{low}–{high}"


def _bare(axes: Any, title: str, note: str = "") -> None:
    """A panel that is an image, without ticks and frame."""
    axes.set_title(title, fontsize=8.5, loc="left", color=INK, pad=3)
    axes.set_xlabel(note, fontsize=8, color=GREY, labelpad=3)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _bar(figure: Any, image: Any, axes: Any, fraction: float) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=fraction, pad=0.02)
    bar.set_label("percentage points", fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
