# SPDX-License-Identifier: Apache-2.0

"""A picture of what training made of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.figures.style import BLUE, GREY, RED, figure_of, quiet
from monai_ept.analysis.prompt_sinks import LayerSinks

__all__ = ["draw_sinks"]


def draw_sinks(sinks: Sequence[LayerSinks]) -> Any:
    """For each layer ``c`` of its tokens, against the band in which they started."""
    figure = figure_of(9.0, 3.1)
    axes = figure.add_subplot()
    places = np.arange(len(sinks))
    for place, one in zip(places, sinks, strict=True):
        if one.start is not None:
            last = place == 0
            axes.fill_between(
                [place - 0.42, place + 0.42],
                one.start - 2 * one.scatter,
                one.start + 2 * one.scatter,
                color=GREY,
                alpha=0.25,
                linewidth=0,
                label="start, 95 % of draws" if last and one.scatter else None,
            )
            axes.plot(
                [place - 0.42, place + 0.42],
                [one.start] * 2,
                color=GREY,
                linewidth=1.2,
                label="start" if last else None,
            )
        # Spread over the width of the layer in the order of the patches, so that none hides another.
        across = place - 0.36 + 0.72 * (np.arange(len(one.patches)) + 0.5) / len(one.patches)
        size, name = (3, "patches") if one.per == "token" else (16, "heads")
        axes.scatter(across, one.patches, s=size, color=BLUE, linewidth=0, label=name if place == 0 else None)
        if len(one.prefix):
            axes.scatter(
                [place] * len(one.prefix),
                one.prefix,
                s=34,
                marker="D",
                color=RED,
                edgecolor="white",
                linewidth=0.7,
                zorder=4,
                label=("class token" if len(one.prefix) == 1 else "prefix tokens") if place == 0 else None,
            )
    axes.set_xticks(places, [one.layer + 1 for one in sinks])
    axes.set_xlabel("layer", fontsize=9)
    axes.set_ylabel(f"c of a {sinks[0].per}", fontsize=9)
    axes.ticklabel_format(axis="y", useOffset=False)
    quiet(axes, ticks=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=4, frameon=False, fontsize=8.5)
    return figure
