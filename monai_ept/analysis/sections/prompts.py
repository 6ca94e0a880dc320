# SPDX-License-Identifier: Apache-2.0

"""Did training move the prompts? ``prompts.csv`` and ``prompt_values.png``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.prompt_sinks import LayerSinks
from monai_ept.analysis.sections.output import Output
from monai_ept.reporting.axes import quiet
from monai_ept.reporting.figure import BLUE, GREY, RED, figure_of
from monai_ept.reporting.page import Section

__all__ = ["about_sinks", "draw_prompt_values", "prompts_section"]

TITLE = "Prompts: did training move them?"


def prompts_section(out: Output, sinks: Sequence[LayerSinks]) -> Section:
    """Compare the number c of every token with its start; there are no sinks where prompts are not one number."""
    if not sinks:
        why = "These prompts (scaled_concat) act by a number that depends on the image: there is no c to show."
        return Section(TITLE, notes=[why])
    rows = []
    for one in sinks:
        start = math.nan if one.start is None else one.start
        parts = [(f"prefix_{token}", one.prefix[token : token + 1]) for token in range(len(one.prefix))]
        for name, values in (*parts, ("patches" if one.per == "token" else "heads", one.patches)):
            trained = str(one.trains).lower()
            rows.append([one.layer, name, trained, start, one.scatter, values.mean(), values.min(), values.max()])
    out.csv("prompts", ["layer", "token", "trained", "start", "start_scatter", "mean", "min", "max"], rows)
    pictures = out.picture(
        "prompt_values",
        draw_prompt_values,
        sinks,
        caption="The number c of every token (c = logsumexp of its prompts; more damps more) against where it started.",
    )
    notes = ["Start values are drawn at random and not kept: the grey band is their distribution."]
    scattered = any(one.starts_scattered for one in sinks)
    return Section(TITLE, sentences=about_sinks(sinks), pictures=pictures, notes=notes if scattered else [])


def about_sinks(sinks: Sequence[LayerSinks]) -> list[str]:
    """Whether training moved the prompts."""
    known = [one for one in sinks if one.start is not None]
    starts = [one.start for one in sinks if one.start is not None]
    if not known:
        return ["Where the prompts started is not known: one prompt per token at 0 is also what folding leaves."]
    if not any(one.trains for one in known):
        value = ", ".join(sorted({f"{start:.3g}" for start in starts}))
        return [f"c is fixed at {value} for all tokens: nothing in the attention was trained."]
    moved, scatter = np.sqrt(np.mean([(one.moved**2, one.scatter**2) for one in known], axis=0))
    start = float(np.mean(starts))
    if moved < 1.25 * scatter + 1e-6:
        return [
            f"Training left c where it started: {start:.3f}, with a distance of {moved:.4f} (root mean square) that is "
            f"no more than the scatter of the start values ({scatter:.4f}). What acts is the start value."
        ]
    far = max(known, key=lambda one: one.moved)
    mean = np.mean([one.values.mean() for one in known])
    direction = "down, so that tokens keep more of their attention" if mean < start else "up, so that they keep less"
    return [
        f"Training moved c away from its start of {start:.3f} by {moved:.3f} (root mean square; the start values "
        f"scatter by {scatter:.4f}), on average {direction}. Layer {far.layer + 1} moved farthest ({far.moved:.3f})."
    ]


def draw_prompt_values(sinks: Sequence[LayerSinks]) -> Any:
    """For each layer ``c`` of its tokens, against the band in which they started."""
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
