# SPDX-License-Identifier: Apache-2.0

"""``reliability.png``: how often the network is right, against how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.reporting.axes import tidy
from monai_ept.reporting.figure import BLUE, GREY, PAPER, figure_of, save_figure

__all__ = ["draw_reliability", "legend_below", "plot_reliability"]


def draw_reliability(
    folder: str | Path, probabilities: np.ndarray, labels: np.ndarray, task: str, *, num_bins: int = 15
) -> Path:
    """
    Draw ``reliability.png``: how often the network is right, against how sure it is; below, how often it is how sure.

    Multi-class looks at the class of highest probability, multi-label at all labels of all images together. See
    ``classification_metrics`` for the arguments.
    """
    figure = figure_of(4.8, 5.7)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    plot_reliability(upper, lower, probabilities, labels, task, num_bins=num_bins)
    legend_below(figure, upper)
    return save_figure(figure, Path(folder) / "reliability.png")


def plot_reliability(
    upper: Any, lower: Any, probabilities: np.ndarray, labels: np.ndarray, task: str, *, num_bins: int = 15
) -> float:
    """
    The two panels of ``draw_reliability`` on axes that are there, without its legend.

    Returns:
        the expected calibration error, which the upper panel's title says; multi-label: of all labels together.
    """
    from scipy.stats import binomtest

    if task == "multiclass":
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        names = "probability of the predicted class", "share that is right"
    else:
        sure, right = probabilities.reshape(-1), labels.reshape(-1).astype(bool)
        names = "predicted probability of a label", "share that is labelled"
    edges = np.linspace(0, 1, num_bins + 1)
    which = np.digitize(sure, edges[1:-1], right=True)
    totals = np.bincount(which, minlength=num_bins)
    filled = totals > 0
    found = np.bincount(which, weights=right, minlength=num_bins)[filled].astype(int)
    observed = found / totals[filled]
    expected = np.bincount(which, weights=sure, minlength=num_bins)[filled] / totals[filled]
    error = float((np.abs(observed - expected) * totals[filled]).sum() / totals.sum())
    width, centres = 1 / num_bins, (edges[:-1] + edges[1:]) / 2
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated", zorder=1)
    shares = [binomtest(yes, of).proportion_ci(method="wilson") for yes, of in zip(found, totals[filled], strict=True)]
    upper.vlines(expected, *zip(*shares, strict=True), color=BLUE, linewidth=1.2, alpha=0.5, zorder=2)
    sizes = 14 + 70 * totals[filled] / totals.max()
    dots = {"color": BLUE, "edgecolor": PAPER, "linewidth": 0.8, "zorder": 4, "label": "observed, 95 % interval"}
    upper.scatter(expected, observed, s=sizes, **dots)
    upper.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=names[1])
    pooled = "" if task == "multiclass" else ", all labels together"
    upper.set_title(f"expected calibration error {error:.3f}{pooled}", fontsize=10, loc="left")
    lower.bar(centres, totals, width=0.9 * width, color=BLUE)
    lower.set(xlabel=names[0], ylabel="images" if task == "multiclass" else "labels")
    for axes in (upper, lower):
        tidy(axes, labelsize=9)
    return error


def legend_below(figure: Any, axes: Any) -> None:
    """What is drawn on these axes, named below all panels, where nothing is hidden by it."""
    named = axes.get_legend_handles_labels()
    figure.legend(*named, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
