# SPDX-License-Identifier: Apache-2.0

"""Did training move the prompts? ``prompts.csv``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monai_ept.analysis.figures.prompt_values import draw_prompt_values
from monai_ept.analysis.prompt_sinks import LayerSinks
from monai_ept.analysis.sections.output import Output
from monai_ept.reporting.page import Section

__all__ = ["about_sinks", "prompts_section"]

TITLE = "Prompts: did training move them?"


def prompts_section(out: Output, sinks: Sequence[LayerSinks]) -> Section:
    """
    Compare the number c of every token with its start.

    Args:
        out: where to write.
        sinks: c of each layer; empty where prompts are not one number.
    """
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
    notes = []
    if any(one.starts_scattered for one in sinks):
        notes.append("Start values are drawn at random and not kept: the grey band is their distribution.")
    return Section(TITLE, sentences=about_sinks(sinks), pictures=pictures, notes=notes)


def about_sinks(sinks: Sequence[LayerSinks]) -> list[str]:
    """Whether training moved the prompts."""
    if all(one.start is None for one in sinks):
        return ["Where the prompts started is not known: one prompt per token at 0 is also what folding leaves."]
    known = [one for one in sinks if one.start is not None]
    if not any(one.trains for one in known):
        value = ", ".join(sorted({f"{one.start:.3g}" for one in known}))
        return [f"c is fixed at {value} for all tokens: nothing in the attention was trained."]
    moved = float(np.sqrt(np.mean([one.moved**2 for one in known])))
    scatter = float(np.sqrt(np.mean([one.scatter**2 for one in known])))
    start = float(np.mean([one.start for one in known if one.start is not None]))
    if moved < 1.25 * scatter + 1e-6:
        return [
            f"Training left c where it started: {start:.3f}, with a distance of {moved:.4f} (root mean square) that is "
            f"no more than the scatter of the start values ({scatter:.4f}). What acts is the start value."
        ]
    far = max(known, key=lambda one: one.moved)
    means = [float(np.concatenate([one.prefix, one.patches]).mean()) for one in known]
    direction = (
        "down, so that tokens keep more of their attention" if np.mean(means) < start else "up, so that they keep less"
    )
    return [
        f"Training moved c away from its start of {start:.3f} by {moved:.3f} (root mean square; the start values "
        f"scatter by {scatter:.4f}), on average {direction}. Layer {far.layer + 1} moved farthest ({far.moved:.3f})."
    ]
