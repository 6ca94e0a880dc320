# SPDX-License-Identifier: Apache-2.0

"""Pictures of the factors g: which regions, tokens and layers are damped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.figures.style import BLUE, GREY, INK, RED, class_colours, figure_of, panels, quiet, short
from monai_ept.analysis.kept_attention import ScalingMaps

__all__ = ["draw_class_maps", "draw_examples", "draw_layer_maps", "draw_layers"]

MAP = "viridis"


def draw_layers(maps: ScalingMaps, class_names: Sequence[str]) -> Any:
    """Share kept by layer: patches with their spread over images, prefix tokens apart; and each class against all."""
    figure = figure_of(9.6, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    layers = [layer + 1 for layer in maps.layers]
    low, high = np.percentile(maps.patches, [2.5, 97.5], axis=0)
    left.fill_between(layers, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % of images")
    left.plot(layers, maps.patches.mean(axis=0), "o-", color=BLUE, markersize=3.5, label="patches")
    for token in range(min(maps.num_prefix, 1)):
        left.plot(
            layers,
            maps.prefixes[..., token].mean(axis=0),
            "s--",
            color=RED,
            markersize=3.5,
            label="class token" if maps.num_prefix == 1 else "first prefix token",
        )
    if maps.num_prefix > 1:
        left.plot(
            layers, maps.prefixes[..., 1:].mean(axis=(0, 2)), "^:", color=GREY, markersize=3.5, label="other prefix"
        )
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
    image = right.imshow(apart, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    right.set_xticks(range(len(layers)), layers)
    right.set_yticks(range(len(present)), [short(class_names[k]) for k in present])
    right.tick_params(labelsize=8, length=0)
    right.set_xlabel("layer", fontsize=9)
    right.set_title("patches of a class against all images", fontsize=9.5, loc="left", color=INK)
    bar = figure.colorbar(image, ax=right, fraction=0.05, pad=0.02)
    bar.set_label("percentage points", fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    for spine in right.spines.values():
        spine.set_visible(False)
    return figure


def draw_layer_maps(maps: ScalingMaps) -> Any:
    """The mean map of every layer over the image, each with its own range of colours, which stands below it."""
    values = maps.to_map(maps.mean)
    figure, grid = panels(len(maps.layers), 6, 1.5, 1.98)
    for layer, one, mean, (axes,) in zip(maps.layers, values, maps.mean, grid, strict=True):
        _map(axes, one)
        axes.set_title(f"layer {layer + 1}", fontsize=9, loc="left", color=INK, pad=3)
        note = f"{one.min():.2f} to {one.max():.2f}"
        if maps.num_prefix:
            note += (
                f"\n{'class token' if maps.num_prefix == 1 else 'prefix tokens'} {mean[: maps.num_prefix].mean():.2f}"
            )
        axes.set_xlabel(note, fontsize=8, color=GREY, labelpad=3)
    return figure


def draw_class_maps(maps: ScalingMaps, class_names: Sequence[str]) -> Any:
    """The mean map over layers and images, and by how much each class's differs from it, in one scale."""
    present = np.flatnonzero(maps.counts > 0).tolist()
    overall = maps.to_map(maps.mean).mean(axis=0)
    apart = [100 * (maps.to_map(maps.class_means[k]).mean(axis=0) - overall) for k in present]
    figure, grid = panels(len(present) + 1, 4 if len(present) <= 7 else 5, 2.1, 2.05)
    _map(grid[0][0], overall)
    grid[0][0].set_title("all images", fontsize=9, loc="left", color=INK, pad=3)
    grid[0][0].set_xlabel(f"kept {overall.min():.2f} to {overall.max():.2f}", fontsize=8, color=GREY, labelpad=3)
    reach = max(float(np.percentile(np.abs(apart), 99.5)), 0.01)
    for k, one, (axes,) in zip(present, apart, grid[1:], strict=True):
        image = axes.imshow(one, cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes.set_title(f"{short(class_names[k])} ({maps.counts[k]})", fontsize=9, loc="left", color=INK, pad=3)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{one.mean():+.2f} on average", fontsize=8, color=GREY, labelpad=3)
        _no_frame(axes)
    bar = figure.colorbar(image, ax=[column[0] for column in grid], fraction=0.025, pad=0.02)
    bar.set_label("percentage points", fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    return figure


def draw_examples(
    maps: ScalingMaps, pictures: dict[str, np.ndarray], titles: dict[str, str], class_colour: dict[str, int]
) -> Any:
    """
    Single images, each with its factors laid over it: first, middle and last prompted layer, and the mean of all.

    Args:
        maps: with these images among its examples.
        pictures: what is to be seen, by id: channels last, in [0, 1].
        titles: what stands over each.
        class_colour: class index of each, for the colour of its title.
    """
    number = len(maps.layers)
    chosen = sorted({0, number // 2, number - 1})
    columns = [*(("one", index) for index in chosen), ("mean", -1)] if number > 1 else [("one", 0)]
    width = 1.75
    figure = figure_of(width * (len(columns) + 1), 1.95 * len(pictures))
    grid = figure.subplots(len(pictures), len(columns) + 1, squeeze=False)
    colours = class_colours(max(class_colour.values(), default=0) + 1)
    for row, (identity, picture) in zip(grid, pictures.items(), strict=True):
        row[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
        row[0].set_title(titles[identity], fontsize=8.5, loc="left", color=colours[class_colour[identity]], pad=3)
        grey = picture.mean(axis=-1) if picture.ndim == 3 else picture
        values = maps.to_map(maps.examples[identity])
        for axes, (kind, index) in zip(row[1:], columns, strict=True):
            one = values.mean(axis=0) if kind == "mean" else values[index]
            axes.imshow(grey, cmap="gray", vmin=-0.7, vmax=1.0)  # pale, so that the colours stay true
            extent = (-0.5, grey.shape[1] - 0.5, grey.shape[0] - 0.5, -0.5)
            axes.imshow(one, cmap=MAP, alpha=0.6, extent=extent, interpolation="nearest", **_range(one))
            name = "mean of layers" if kind == "mean" else f"layer {maps.layers[index] + 1}"
            axes.set_title(f"{name}: {one.min():.2f}–{one.max():.2f}", fontsize=8, loc="left", color=INK, pad=3)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
            _no_frame(axes)
    return figure


def _map(axes: Any, values: np.ndarray) -> Any:
    image = axes.imshow(values, cmap=MAP, **_range(values))
    axes.set_xticks([])
    axes.set_yticks([])
    _no_frame(axes)
    return image


def _range(values: np.ndarray) -> dict[str, float]:
    """The range of colours leaves out a few odd patches, in the corners mostly, which would hide all others."""
    low, high = np.percentile(values, [2, 98])
    return {"vmin": float(low), "vmax": float(high)}


def _no_frame(axes: Any) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
