# SPDX-License-Identifier: Apache-2.0

"""Which regions are damped? ``kept.csv``, ``kept_tokens.csv``, and ``kept_X.png``, drawn by ``draw_kept_X``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.analysis.image_choice import FEWEST_IMAGES, left_out
from monai_ept.analysis.kept_attention import ScalingMaps, prompted_layers
from monai_ept.analysis.sections.map_scale import (
    LEAST_RANGE,
    colour_bar,
    colours_about_zero,
    colours_of,
    is_flat,
    points,
    say_scale,
    span_of,
)
from monai_ept.analysis.sections.output import Output
from monai_ept.model import TunedViT
from monai_ept.reporting.axes import quiet, short
from monai_ept.reporting.figure import BLUE, GREY, INK, RED, figure_of, panels
from monai_ept.reporting.numbers import decimal, percent
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
        maps: its factors g; None where its method scales nothing.
        examples: class name and picture of single images, by their row in the maps.

    Returns:
        the section; of classes with fewer than five images it says only that.
    """
    if maps is None:
        prompted = bool(prompted_layers(net))
        return Section(TITLE, notes=sentences(WORDS, "why_nothing", method=net.method_name, prompted=prompted))
    rare = left_out(maps.counts, class_names)
    maps = replace(maps, member=maps.member & (maps.counts >= FEWEST_IMAGES))
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

    about: dict[str, Any] = {"volume": " (middle slice of the volume)" if len(maps.grid) == 3 else ""}
    pictures = []
    if out.draws:
        flat = is_flat(_apart_by_layer(maps))
        pictures.append(out.picture(WORDS, "kept_layers", draw_kept_layers(maps, class_names), flat=flat))
        flat = is_flat(_mean_maps(maps))
        pictures.append(out.picture(WORDS, "kept_maps", draw_kept_maps(maps), flat=flat, **about))
        if (maps.counts > 0).sum() > 1:
            flat = is_flat(_apart(maps))
            figure = draw_kept_classes(maps, class_names)
            pictures.append(out.picture(WORDS, "kept_classes", figure, flat=flat, **about))
        flat = is_flat(_example_maps(maps, examples))
        figure = draw_kept_examples(maps, examples)
        # Photographs make large files.
        pictures.append(out.picture(WORDS, "kept_examples", figure, dpi=110, flat=flat, **about))
    said = [*about_kept(maps, class_names), *rare]
    return Section(TITLE, sentences=said, pictures=pictures, notes=sentences(WORDS, "notes"))


def about_kept(maps: ScalingMaps, class_names: Sequence[str]) -> list[str]:
    """Which layers, tokens, regions and classes keep how much of their attention."""
    every, apart = _mean_maps(maps), _apart(maps)
    where = every.mean(axis=0)
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
        classes=sorted((of_classes[k], class_names[k]) for k in _present(maps)),
        span=span_of(every),
        apart=span_of(apart),
        least=LEAST_RANGE,
    )


def draw_kept_layers(maps: ScalingMaps, class_names: Sequence[str]) -> Any:
    """Share lost by layer: patches with their spread over images, prefix tokens apart; and each class against all."""
    figure = figure_of(9.6, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    layers = [layer + 1 for layer in maps.layers]
    lost = np.maximum(1 - maps.patches, 0)
    low, high = np.percentile(lost, [2.5, 97.5], axis=0)
    # A single layer has no line to fill between, but a bar.
    around = layers if len(layers) > 1 else [layers[0] - 0.12, layers[0] + 0.12]
    left.fill_between(around, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % of images")
    curves = {"patches": (lost.mean(axis=0), {"color": BLUE, "marker": "o", "markersize": 3.5})}
    # Hollow, so that what lies below is seen.
    hollow = {"markerfacecolor": "none", "markersize": 5}
    prefixes = np.maximum(1 - maps.prefixes, 0)
    if maps.num_prefix:
        name = "class token" if maps.num_prefix == 1 else "first prefix token"
        curves[name] = prefixes[..., 0].mean(axis=0), {"color": RED, "marker": "s", "linestyle": "--", **hollow}
    if maps.num_prefix > 1:
        look = {"color": GREY, "marker": "^", "linestyle": ":", **hollow}
        curves["other prefix tokens"] = prefixes[..., 1:].mean(axis=(0, 2)), look
    for name, (values, look) in curves.items():
        left.plot(layers, values, label=name, **look)
    _axis_of_shares(left, np.concatenate([low, high, *(values for values, _ in curves.values())]))
    left.set_xlabel("layer", fontsize=9)
    quiet(left, ticks=True)
    left.set_xticks(layers)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=8.5)

    present, apart = _present(maps), _apart_by_layer(maps)
    if not present:
        right.set_axis_off()
        return figure
    title = "kept by patches of a class, against all images"
    if is_flat(apart):
        title = f"classes: no pattern (all within {points(span_of(apart))})"
    image = right.imshow(100 * apart, aspect="auto", **colours_about_zero(apart))
    right.set_xticks(range(len(layers)), layers)
    right.set_yticks(range(len(present)), [short(class_names[k]) for k in present])
    right.tick_params(labelsize=8, length=0)
    right.set_xlabel("layer", fontsize=9)
    right.set_title(title, fontsize=9.5, loc="left", color=INK)
    right.spines[:].set_visible(False)
    if not is_flat(apart):
        colour_bar(figure, image, right, "percentage points")
    return figure


def _axis_of_shares(axes: Any, shown: np.ndarray) -> None:
    """An axis that shows all of these: from zero, or logarithmic where the least could not be seen."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    title = "attention lost by layer, 1 − g"
    if shown.min() > 0 and shown.max() > 10 * shown.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if shown.max() < 300 * shown.min() else (1,)))
        axes.yaxis.set_minor_locator(NullLocator())
        title += " (logarithmic)"
    else:
        axes.set_ylim(0, 1.08 * max(float(shown.max()), 1e-4))
        title += f" (from 0 to {percent(shown.max())})"
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axes.set_title(title, fontsize=9.5, loc="left", color=INK)


def draw_kept_maps(maps: ScalingMaps) -> Any:
    """The mean map of every layer over the image, and of all layers, in one scale; below each its own range."""
    titles = [f"layer {layer + 1}" for layer in maps.layers]
    shown, tokens = _mean_maps(maps), maps.mean
    if len(titles) > 1:
        titles.append("mean of layers")
        shown, tokens = (np.concatenate([one, one.mean(axis=0, keepdims=True)]) for one in (shown, tokens))
    columns = 7 if len(titles) > 10 else 6
    figure, grid = panels(len(titles), columns, 1.42, 1.95)
    colours = colours_of(shown)
    for title, one, mean, (axes,) in zip(titles, shown, tokens, grid, strict=True):
        prefix = f"\n{_prefix_name(maps)} {mean[: maps.num_prefix].mean():.2f}" if maps.num_prefix else ""
        _bare(axes, title, _ends(one) + prefix)
        image = axes.imshow(one, **colours)
    say_scale(figure, image, [column[0] for column in grid], shown)
    return figure


def draw_kept_classes(maps: ScalingMaps, class_names: Sequence[str]) -> Any:
    """By how much each class's mean map over layers and images differs from that of all images, in one scale."""
    present, apart = _present(maps), _apart(maps)
    # Grey panels say one thing together and may be small.
    columns, side, length = (7, 1.35, 12) if is_flat(apart) else (4 if len(present) <= 8 else 5, 2.1, 18)
    figure, grid = panels(len(present), columns, side, side + (0.3 if is_flat(apart) else 0))
    colours = colours_about_zero(apart)
    for k, one, (axes,) in zip(present, apart, grid, strict=True):
        mean = f"mean {decimal(100 * one.mean(), 2, signed=True)}"
        _bare(axes, f"{short(class_names[k], length)} ({maps.counts[k]})", mean)
        image = axes.imshow(100 * one, **colours)
    say_scale(figure, image, [column[0] for column in grid], apart, "percentage points")
    return figure


def draw_kept_examples(maps: ScalingMaps, examples: Mapping[int, tuple[str, np.ndarray]]) -> Any:
    """
    Single images, each with its factors laid over them: first, middle and last prompted layer, and the mean of all.

    Args:
        examples: class name and picture of each, by its row in the maps; pictures have their channels last and lie in
            [0, 1].
    """
    shown = _example_maps(maps, examples)
    titles = [f"layer {maps.layers[index] + 1}" for index in _example_layers(maps)]
    titles += ["mean of layers"] * (shown.shape[1] - len(titles))
    figure = figure_of(1.75 * (len(titles) + 1) + 0.8, 1.95 * len(examples) + 0.3)
    grid = figure.subplots(len(examples), len(titles) + 1, squeeze=False)
    colours = colours_of(shown)
    for row, (name, picture), of_image in zip(grid, examples.values(), shown, strict=True):
        _bare(row[0], name)
        row[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
        grey = picture.mean(axis=-1) if picture.ndim == 3 else picture
        extent = (-0.5, grey.shape[1] - 0.5, grey.shape[0] - 0.5, -0.5)
        for axes, title, one in zip(row[1:], titles, of_image, strict=True):
            _bare(axes, f"{title}: {_ends(one)}")
            axes.imshow(grey, cmap="gray", vmin=-0.7, vmax=1.0)  # pale, so that the colours stay true
            image = axes.imshow(one, alpha=0.6, extent=extent, interpolation="nearest", **colours)
    say_scale(figure, image, grid, shown)
    return figure


def _mean_maps(maps: ScalingMaps) -> np.ndarray:
    """The mean map of all images by layer, ``(layers, rows, columns)``."""
    return maps.to_map(maps.mean)


def _present(maps: ScalingMaps) -> list[int]:
    """Classes that have images in the maps."""
    return np.flatnonzero(maps.counts > 0).tolist()


def _apart(maps: ScalingMaps) -> np.ndarray:
    """By how much the maps of classes that are there, means over layers, differ from the map of all images."""
    return maps.to_map(maps.class_means[_present(maps)]).mean(axis=1) - _mean_maps(maps).mean(axis=0)


def _apart_by_layer(maps: ScalingMaps) -> np.ndarray:
    """The same by layer and as means over patches, ``(classes, layers)``."""
    return (maps.class_means[_present(maps)] - maps.mean)[..., maps.num_prefix :].mean(axis=-1)


def _example_layers(maps: ScalingMaps) -> list[int]:
    """The first, the middle and the last prompted layer."""
    number = len(maps.layers)
    return sorted({0, number // 2, number - 1})


def _example_maps(maps: ScalingMaps, rows: Iterable[int]) -> np.ndarray:
    """Maps of single images: of those layers, and the mean of all; ``(images, maps, rows, columns)``."""
    values = maps.to_map(maps.kept[list(rows)])
    means = [values.mean(axis=1, keepdims=True)] if len(maps.layers) > 1 else []
    return np.concatenate([values[:, _example_layers(maps)], *means], axis=1)


def _prefix_name(maps: ScalingMaps) -> str:
    return "class token" if maps.num_prefix == 1 else "prefix tokens"


def _ends(values: np.ndarray) -> str:
    """Least and most, with as many digits as it takes to tell them apart."""
    for digits in (2, 3):
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
