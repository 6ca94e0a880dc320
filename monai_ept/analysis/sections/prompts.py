# SPDX-License-Identifier: Apache-2.0

"""Did training move the prompts? ``prompts.csv`` and ``prompt_values.png``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.analysis.prompt_sinks import LayerSinks
from monai_ept.analysis.sections.output import Output
from monai_ept.reporting.axes import quiet
from monai_ept.reporting.figure import BLUE, GREY, RED, figure_of
from monai_ept.reporting.page import Section
from monai_ept.reporting.prose import sentences

__all__ = ["about_sinks", "draw_prompt_values", "prompts_section"]

WORDS = Path(__file__).with_suffix(".jinja")
LEAST_HEIGHT = 0.1
"""Of the axis of c, so that prompts that stayed where they were look like it: .1 changes what they damp by a tenth."""

TITLE = "Prompts: did training move them?"


def prompts_section(out: Output, sinks: Sequence[LayerSinks]) -> Section:
    """Compare the number c of every token with its start; there are no sinks where prompts are not one number."""
    if not sinks:
        return Section(TITLE, notes=sentences(WORDS, "no_c"))
    rows = []
    for one in sinks:
        start = math.nan if one.start is None else one.start
        parts = [(f"prefix_{token}", one.prefix[token : token + 1]) for token in range(len(one.prefix))]
        for name, values in (*parts, ("patches" if one.per == "token" else "heads", one.patches)):
            trained = str(one.trains).lower()
            rows.append([one.layer, name, trained, start, one.scatter, values.mean(), values.min(), values.max()])
    out.csv("prompts", ["layer", "token", "trained", "start", "start_scatter", "mean", "min", "max"], rows)
    pictures = [out.picture(WORDS, "prompt_values", draw_prompt_values(sinks))] if out.draws else []
    notes = sentences(WORDS, "notes", band=any(_bands(sinks)))
    return Section(TITLE, sentences=about_sinks(sinks), pictures=pictures, notes=notes)


def about_sinks(sinks: Sequence[LayerSinks]) -> list[str]:
    """Whether training moved the prompts."""
    known = [one for one in sinks if one.start is not None]
    squares = [(one.moved**2, one.scatter**2) for one in known]
    moved, scatter = np.sqrt(np.mean(squares, axis=0)) if known else (0.0, 0.0)
    start = float(np.mean([one.start for one in known if one.start is not None])) if known else 0.0
    mean = float(np.mean([one.values.mean() for one in known])) if known else 0.0
    fixed = [] if any(one.trains for one in known) else sorted({f"{one.start:.3g}" for one in known})
    about = {"fixed": fixed, "moved": moved, "scatter": scatter, "start": start, "mean": mean}
    return sentences(WORDS, "about_sinks", known=known, **about)


def draw_prompt_values(sinks: Sequence[LayerSinks]) -> Any:
    """For each layer ``c`` of its tokens, against the band in which they started."""
    figure = figure_of(9.0, 3.1)
    axes = figure.add_subplot()
    for place, (one, has_band) in enumerate(zip(sinks, _bands(sinks), strict=True)):
        if one.start is not None:
            ends = [place - 0.42, place + 0.42]
            if has_band:
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
    if (missing := LEAST_HEIGHT - np.ptp(axes.get_ylim())) > 0:
        low, high = axes.get_ylim()
        axes.set_ylim(low - missing / 2, high + missing / 2)
    quiet(axes, ticks=True)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))  # every layer has each of them, and the legend the last
    figure.legend(once.values(), once, loc="outside upper right", ncols=4, frameon=False, fontsize=8.5, markerscale=1.5)
    return figure


def _bands(sinks: Sequence[LayerSinks]) -> list[bool]:
    """Which layers have a start whose band is seen beside the line in its middle: a hundredth of what is shown."""
    shown = np.concatenate([one.values for one in sinks] + [[one.start] for one in sinks if one.start is not None])
    return [one.starts_scattered and 4 * one.scatter > np.ptp(shown) / 100 for one in sinks]
