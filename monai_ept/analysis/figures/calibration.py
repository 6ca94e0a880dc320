# SPDX-License-Identifier: Apache-2.0

"""A picture of how sure the network is, against how often it is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.analysis.figures.style import figure_of
from monai_ept.evaluation.reliability import plot_reliability

__all__ = ["draw_calibration"]


def draw_calibration(probabilities: Sequence[np.ndarray], titles: Sequence[str], labels: np.ndarray, task: str) -> Any:
    """
    Reliability diagrams beside each other.

    Args:
        probabilities: ``(images, classes)`` for each.
        titles: what each one is.
        labels: class indices, or 0/1 ``(images, classes)``.
        task: "multiclass" or "multilabel".
    """
    figure = figure_of(4.4 * len(titles), 4.9)
    grid = figure.subplots(2, len(titles), sharex=True, sharey="row", squeeze=False, height_ratios=(3.2, 1))
    for column, values, title in zip(grid.T, probabilities, titles, strict=True):
        error = plot_reliability(column[0], column[1], values, labels, task)
        column[0].set_title(f"{title}: error {error:.3f}", fontsize=10, loc="left")
        column[0].get_legend().remove()
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False, fontsize=8.5
    )
    for axes in grid[:, 1:].reshape(-1):
        axes.set_ylabel("")
    return figure
