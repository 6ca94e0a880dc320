# SPDX-License-Identifier: Apache-2.0

"""A picture of how sure the network is, against how often it is right: ``reliability.png``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_ept.evaluation.reliability import plot_reliability
from monai_ept.reporting.figure import figure_of

__all__ = ["draw_reliability"]


def draw_reliability(probabilities: Mapping[str, np.ndarray], labels: np.ndarray, task: str) -> Any:
    """
    Reliability diagrams beside each other.

    Args:
        probabilities: ``(images, classes)`` of each, by its title.
        labels: class indices, or 0/1 ``(images, classes)``.
        task: "multiclass" or "multilabel".
    """
    figure = figure_of(4.4 * len(probabilities), 4.9)
    grid = figure.subplots(2, len(probabilities), sharex=True, sharey="row", squeeze=False, height_ratios=(3.2, 1))
    for column, (title, values) in zip(grid.T, probabilities.items(), strict=True):
        error = plot_reliability(column[0], column[1], values, labels, task)
        column[0].set_title(f"{title}: error {error:.3f}", fontsize=10, loc="left")
        column[0].get_legend().remove()
    legend = grid[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper right", ncols=2, frameon=False, fontsize=8.5)
    for axes in grid[:, 1:].reshape(-1):
        axes.set_ylabel("")
    return figure
