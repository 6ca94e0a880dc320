# SPDX-License-Identifier: Apache-2.0

"""``confusion_matrix.csv`` and ``.png``: labels against decisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.reporting.axes import tidy
from monai_ept.reporting.csv_file import write_csv
from monai_ept.reporting.figure import BLUE, INK, PAPER, RED, figure_of, save_figure

__all__ = ["confusion_counts", "draw_confusion_matrix", "write_confusion_matrix"]


def confusion_counts(probabilities: np.ndarray, labels: np.ndarray, task: str, threshold: float = 0.5) -> np.ndarray:
    """
    Count labels against decisions.

    Returns:
        multi-class: (classes, classes), rows are labels and columns are decisions; multi-label: (classes, 2, 2), for
        each label no and yes against no and yes.
    """
    from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

    if task == "multiclass":
        classes = np.arange(probabilities.shape[1])
        return np.asarray(confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes))
    return np.asarray(multilabel_confusion_matrix(labels.astype(int), (probabilities >= threshold).astype(int)))


def write_confusion_matrix(folder: str | Path, counts: np.ndarray, class_names: Sequence[str]) -> Path:
    """Write ``confusion_matrix.csv``: labels in rows, decisions in columns; multi-label: four counts per label."""
    path = Path(folder) / "confusion_matrix.csv"
    header = ["label", "true_negative", "false_positive", "false_negative", "true_positive"]
    if counts.ndim == 2:
        header = ["label \\ prediction", *class_names]
    cells = counts.reshape(len(class_names), -1).tolist()
    return write_csv(path, header, [[name, *row] for name, row in zip(class_names, cells, strict=True)])


def draw_confusion_matrix(folder: str | Path, counts: np.ndarray, class_names: Sequence[str]) -> Path:
    """
    Draw ``confusion_matrix.png`` of these counts.

    Multi-class: shares of each label's images as colour, counts as numbers, recall in a column of its own. Multi-label:
    a bar per label.
    """
    figure = _confusion_square(counts, class_names) if counts.ndim == 2 else _confusion_labels(counts, class_names)
    return save_figure(figure, Path(folder) / "confusion_matrix.png")


def _confusion_square(counts: np.ndarray, class_names: Sequence[str]) -> Any:
    number = len(class_names)
    side = min(max(3.2, 0.52 * number + 1.8), 14)
    figure = figure_of(side + 1.6, side + 0.3, layout="compressed")  # for axes of fixed aspect
    axes = figure.add_subplot()
    totals, right = counts.sum(axis=1), counts.diagonal()
    shares = counts / np.maximum(totals[:, None], 1)
    axes.set_title(f"labels and predictions: {right.sum()} of {counts.sum()} right", fontsize=10.5, loc="left", pad=20)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    turned: Any = {"rotation": 45, "rotation_mode": "anchor", "ha": "right"} if max(map(len, class_names)) > 5 else {}
    axes.set_xticks(range(number), class_names, fontsize=9, **turned)
    rows = [f"{name} ({total})" for name, total in zip(class_names, totals, strict=True)]
    axes.set_yticks(range(number), rows, fontsize=9)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled (images)")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(number - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(number - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_color("#d5dbe1")
    for row, column in np.argwhere((counts > 0) | np.eye(number, dtype=bool)):  # a class never found is seen
        colour = PAPER if shares[row, column] > 0.55 else INK
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=9)
    recall = axes.secondary_yaxis("right")
    found = [f"{share:.2f}" if total else "–" for share, total in zip(shares.diagonal(), totals, strict=True)]
    recall.set_yticks(range(number), found, fontsize=9)
    recall.tick_params(length=0)
    recall.spines[:].set_visible(False)
    axes.annotate("recall", (1, 1), (5, 5), xycoords="axes fraction", textcoords="offset points", fontsize=9)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of the label's images", fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    return figure


def _confusion_labels(counts: np.ndarray, class_names: Sequence[str]) -> Any:
    """One bar per label: of the images that carry it how many are found, and how many are claimed wrongly."""
    number = len(class_names)
    figure = figure_of(7.6, 0.32 * number + 1.5)
    axes = figure.add_subplot()
    false_yes, missed, found = counts[:, 0, 1], counts[:, 1, 0], counts[:, 1, 1]
    rows = np.arange(number)
    left = np.zeros(number)
    looks = {"found": BLUE, "missed": "#b9cfe2", "claimed, but not labelled": RED}
    for values, (what, colour) in zip((found, missed, false_yes), looks.items(), strict=True):
        axes.barh(rows, values, left=left, color=colour, height=0.72, label=what)
        left += values
    widest = max(1.0, left.max())
    for row in rows:
        text = f"{found[row]} + {missed[row]} + {false_yes[row]}"
        axes.text(left[row] + 0.012 * widest, row, text, va="center", fontsize=8, color=INK)
    axes.set_yticks(rows, class_names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.2)
    axes.set_ylim(number - 0.4, -0.6)
    axes.set_xlabel(f"images, of {counts[0].sum()}")
    tidy(axes, labelsize=9)
    axes.set_title("labels: how many images are found, missed, and claimed wrongly", fontsize=10.5, loc="left")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure
