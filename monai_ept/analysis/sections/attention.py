# SPDX-License-Identifier: Apache-2.0

"""Which regions are damped? ``kept.csv`` and ``kept_tokens.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.figures.kept_attention import (
    draw_kept_classes,
    draw_kept_examples,
    draw_kept_layers,
    draw_kept_maps,
)
from monai_ept.analysis.kept_attention import ScalingMaps, prompted_layers
from monai_ept.analysis.sections.output import Output
from monai_ept.model import TunedViT
from monai_ept.reporting.numbers import percent
from monai_ept.reporting.page import Section

__all__ = ["about_kept", "attention_section"]

TITLE = "Attention: which regions are damped?"
MOST_CELLS = 2_000_000


def attention_section(
    out: Output,
    net: TunedViT,
    maps: ScalingMaps | None,
    class_names: Sequence[str],
    examples: Mapping[str, tuple[str, np.ndarray]],
) -> Section:
    """
    Show how much of its attention each token keeps.

    Args:
        out: where to write.
        net: the network, which says why there is nothing to show.
        maps: its factors g; None where its method scales nothing.
        class_names: one name per class.
        examples: class name and picture of single images, by id.
    """
    if maps is None:
        why = f"Method {net.method_name} does not scale attention: there are no factors g to show."
        if prompted_layers(net):
            why = (
                "Prompts that are added to scores or multiplied with them move attention between tokens and keep "
                "all of it: there are no factors g to show."
            )
        return Section(TITLE, notes=[why])
    means, class_means = maps.mean, maps.class_means
    header = ["all", *class_names]
    rows: list[Sequence[Any]] = []
    for index, layer in enumerate(maps.layers):
        for name, where in _tokens(maps):
            rows.append([layer, name, means[index, where].mean(), *class_means[:, index, where].mean(axis=1)])
    out.csv("kept", ["layer", "token", *header], rows)
    if means.size * (1 + len(class_names)) <= MOST_CELLS:
        axes = [f"place_{axis}" for axis in range(len(maps.grid))]
        places = [[""] * len(axes)] * maps.num_prefix + list(np.ndindex(maps.grid))
        rows = []
        for index, layer in enumerate(maps.layers):
            for token, place in enumerate(places):
                rows.append([layer, token, *place, means[index, token], *class_means[:, index, token]])
        out.csv("kept_tokens", ["layer", "token", *axes, *header], rows)

    volume = " (middle slice of the volume)" if len(maps.grid) == 3 else ""
    pictures = out.picture(
        "kept_layers",
        draw_kept_layers,
        *(maps, class_names),
        caption="How much of its attention a token keeps in each layer (left), and which classes differ from the rest "
        "(right; red keeps more, blue less).",
    )
    pictures += out.picture(
        "kept_maps",
        draw_kept_maps,
        maps,
        caption=f"Where in the image attention is damped, layer by layer{volume}, mean of all images: dark is damped "
        "more. Each map has its own range of colours, written below it.",
    )
    if (maps.counts > 0).sum() > 1:
        pictures += out.picture(
            "kept_classes",
            draw_kept_classes,
            *(maps, class_names),
            caption=f"Where classes differ{volume}, mean of all layers: red keeps more attention there than the "
            "average image, blue less.",
        )
    if examples:
        pictures += out.picture(
            "kept_examples",
            draw_kept_examples,
            *(maps, examples),
            caption=f"Single images{volume} with their factors laid over them: yellow patches keep most of their "
            "attention, dark blue ones least; the range is written above each.",
            dpi=110,  # photographs make large files
        )
    note = (
        "g is the sum of a token's attention weights once the prompts' columns are dropped, mean over heads: 1 is as "
        "without prompts, 0 is nothing left."
    )
    return Section(TITLE, sentences=about_kept(maps, class_names), pictures=pictures, notes=[note])


def _tokens(maps: ScalingMaps) -> Iterator[tuple[str, slice]]:
    for token in range(maps.num_prefix):
        yield f"prefix_{token}", slice(token, token + 1)
    yield "patches", slice(maps.num_prefix, None)


def about_kept(maps: ScalingMaps, class_names: Sequence[str]) -> list[str]:
    """
    Which layers, tokens, regions and classes keep how much of their attention.

    Args:
        maps: the factors g.
        class_names: one name per class.
    """
    patches = maps.patches.mean(axis=0)
    tokens = f"Patches keep {percent(patches.mean(), 0)} of their attention on average over layers and images"
    if maps.num_prefix:
        name = "class token" if maps.num_prefix == 1 else "prefix tokens"
        tokens += f", the {name} {percent(maps.prefixes.mean(), 0)}"
    said = [f"{tokens}."]
    if len(patches) > 1:
        least, most = int(patches.argmin()), int(patches.argmax())
        said.append(
            f"Layer {maps.layers[least] + 1} damps them most ({percent(patches[least], 0)} kept), layer "
            f"{maps.layers[most] + 1} least ({percent(patches[most], 0)})."
        )
    where = maps.to_map(maps.mean).mean(axis=0)
    middle = _middle(where.shape)
    if middle.any() and not middle.all():
        inside, rim = where[middle].mean(), where[~middle].mean()
        more, less = ("middle", "rim") if inside < rim else ("rim", "middle")
        said.append(
            f"The middle of the image and its rim are damped alike ({percent(inside)} and {percent(rim)} kept)."
            if abs(inside - rim) < 0.01
            else f"The {more} of the image is damped more than the {less}: {percent(inside)} kept in the middle, "
            f"{percent(rim)} at the rim."
        )
    present = np.flatnonzero(maps.counts > 0)
    if len(present) > 1:
        means = maps.class_means[present][..., maps.num_prefix :].mean(axis=(1, 2))
        low, high = present[means.argmin()], present[means.argmax()]
        said.append(
            f"Classes differ by at most {100 * (means.max() - means.min()):.2f} percentage points on average: "
            f"{class_names[high]} keeps most ({percent(means.max())}), {class_names[low]} least "
            f"({percent(means.min())})."
        )
    return said


def _middle(shape: tuple[int, ...]) -> np.ndarray:
    """The central half of each side."""
    inside = [np.zeros(side, dtype=bool) for side in shape]
    for axis, side in zip(inside, shape, strict=True):
        axis[side // 4 : side - side // 4] = True
    return np.logical_and.outer(*inside)
