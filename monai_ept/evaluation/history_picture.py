# SPDX-License-Identifier: Apache-2.0

"""The curve of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_ept.reporting.axes import tidy
from monai_ept.reporting.figure import BLUE, GREY, RED, figure_of

__all__ = ["draw_history"]


def draw_history(history: Sequence[Mapping[str, Any]], key: str) -> Any:
    """
    Loss by epoch, the learning rate behind it, and a metric of validation images where there are some.

    Args:
        history: of the epochs, as ``FitResult.history`` has it.
    """
    epochs = [row["epoch"] for row in history]
    validated = [row for row in history if row.get("val")]
    figure = figure_of(8.4 if validated else 5.2, 3.0)
    panels = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    axes = panels[0]
    axes.plot(epochs, [row["loss"] for row in history], "o-", color=BLUE, markersize=3.5, label="loss")
    axes.set(xlabel="epoch", ylabel="mean loss of training images")
    axes.set_ylim(bottom=0)
    rate = axes.twinx()
    rate.plot(epochs, [row["lr"] for row in history], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    rate.set_ylabel("learning rate (dashed)", color=GREY, fontsize=9)
    rate.tick_params(labelsize=8, length=2, colors=GREY)
    rate.set_ylim(bottom=0)
    rate.spines[:].set_visible(False)
    tidy(axes, "y", labelsize=9)
    if validated:
        axes = panels[1]
        values = [row["val"][key] for row in validated]
        axes.plot([row["epoch"] for row in validated], values, "o-", color=RED, markersize=3.5)
        axes.set(xlabel="epoch", ylabel=f"{key.replace('_', ' ')} of validation images", ylim=(0, 1.02))
        tidy(axes, "y", labelsize=9)
    for one in panels:
        one.xaxis.get_major_locator().set_params(integer=True)
    return figure
