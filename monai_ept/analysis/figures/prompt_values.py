# SPDX-License-Identifier: Apache-2.0

"""A picture of what training made of the prompts: ``prompt_values.png``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.prompt_sinks import LayerSinks
from monai_ept.reporting.axes import quiet
from monai_ept.reporting.figure import BLUE, GREY, RED, figure_of

__all__ = ["draw_prompt_values"]


def draw_prompt_values(sinks: Sequence[LayerSinks]) -> Any:
    """
    For each layer ``c`` of its tokens, against the band in which they started.

    Args:
        sinks: the values of each layer.
    """
    figure = figure_of(9.0, 3.1)
    axes = figure.add_subplot()
    for place, one in enumerate(sinks):
        if one.start is not None:
            ends = [place - 0.42, place + 0.42]
            if one.starts_scattered:
                band = one.start - 2 * one.scatter, one.start + 2 * one.scatter
                axes.fill_between(ends, *band, color=GREY, alpha=0.25, linewidth=0, label="start, 95 % of draws")
            axes.plot(ends, [one.start] * 2, color=GREY, linewidth=1.2, label="start")
        # Spread over the width of the layer in the order of the patches, so that none hides another.
        across = place - 0.36 + 0.72 * (np.arange(len(one.patches)) + 0.5) / len(one.patches)
        size, name = (3, "patches") if one.per == "token" else (16, "heads")
        axes.scatter(across, one.patches, s=size, color=BLUE, linewidth=0, label=name)
        if len(one.prefix):
            name = "class token" if len(one.prefix) == 1 else "prefix tokens"
            diamond = {"s": 34, "marker": "D", "edgecolor": "white", "linewidth": 0.7, "zorder": 4}
            axes.scatter([place] * len(one.prefix), one.prefix, color=RED, label=name, **diamond)
    axes.set_xticks(range(len(sinks)), [one.layer + 1 for one in sinks])
    axes.set_xlabel("layer", fontsize=9)
    axes.set_ylabel(f"c of a {sinks[0].per}", fontsize=9)
    axes.ticklabel_format(axis="y", useOffset=False)
    quiet(axes, ticks=True)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))  # every layer has each of them, and the legend the last
    figure.legend(once.values(), once, loc="outside upper right", ncols=4, frameon=False, fontsize=8.5, markerscale=1.5)
    return figure
