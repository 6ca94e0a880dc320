# SPDX-License-Identifier: Apache-2.0

"""The report of an evaluation: tables anybody can read, and two figures. Small functions that take arrays and a folder.

A table is written whole or not at all, and the same predictions give the same bytes.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.files import plain_json, remove_partials, usable_folder, write_whole
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics import Interval
from monai_ept.reporting.axes import tidy
from monai_ept.reporting.csv_file import write_csv
from monai_ept.reporting.figure import BLUE, GREY, INK, PAPER, RED, figure_of, save_figure
from monai_ept.reporting.metrics_table import metrics_table

__all__ = [
    "confusion_counts",
    "draw_confusion_matrix",
    "draw_reliability",
    "metrics_table",
    "plot_reliability",
    "write_confusion_matrix",
    "write_metrics",
    "write_per_class",
    "write_predictions",
    "write_report",
]


def write_report(
    folder: str | Path,
    table: PredictionTable,
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Interval],
    *,
    class_names: Sequence[str],
    task: str,
    expected_ids: Sequence[str] | None = None,
    figures: bool = True,
) -> dict[str, Path]:
    """
    Write all of it.

    Args:
        folder: where to; made if need be.
        table: the predictions, with labels.
        metrics: from ``classification_metrics``.
        intervals: from ``bootstrap_interval``, for some of them.
        class_names: one name per class.
        task: "multiclass" or "multilabel".
        expected_ids: ids that must all be there.
        figures: draw the figures too.

    Raises:
        ValueError: when predictions are not complete.
        WriteError: when the folder cannot be written.

    Returns:
        path by what it is: "predictions", "metrics", "metrics_table", "per_class", "confusion_matrix", and with
        figures "confusion_figure" and "reliability_figure".
    """
    if table.labels is None:
        raise ValueError("a report compares predictions with labels, and there are none.")
    folder = usable_folder(folder)
    remove_partials(folder, "*")  # of a process that was killed while it wrote here
    counts = confusion_counts(table.probabilities, table.labels, task)
    paths = {
        "predictions": write_predictions(folder, table, class_names, task, expected_ids=expected_ids),
        **write_metrics(folder, metrics, intervals),
        "per_class": write_per_class(folder, metrics, class_names),
        "confusion_matrix": write_confusion_matrix(folder, counts, class_names),
    }
    if figures:
        paths["confusion_figure"] = draw_confusion_matrix(folder, counts, class_names)
        paths["reliability_figure"] = draw_reliability(folder, table.probabilities, table.labels, task)
    return paths


# ---------------------------------------------------------------------------------------------------------- tables


def write_predictions(
    folder: str | Path,
    table: PredictionTable,
    class_names: Sequence[str],
    task: str,
    *,
    expected_ids: Sequence[str] | None = None,
    errors: Mapping[str, str] | None = None,
    threshold: float = 0.5,
) -> Path:
    """
    Write ``predictions.csv``: one row per image with its label, the decision and the probability of every class.

    It is read again and checked: every image is there, once.

    Args:
        folder: where to.
        table: the predictions; without labels the column stays away.
        class_names: one name per class.
        task: "multiclass" (the class of highest probability) or "multilabel" (all from ``threshold`` on, joined by ;).
        expected_ids: ids that must be there; those of the table by default.
        errors: what went wrong with images that could not be read, by id: a row each, without probabilities.
        threshold: for multi-label decisions.

    Raises:
        ValueError: when an image is missing, or there twice.
    """
    if len(class_names) != table.probabilities.shape[1]:
        raise ValueError(
            f"class_names has {len(class_names)} names and the predictions have {table.probabilities.shape[1]} classes."
        )
    header = ["id", *(["label"] if table.labels is not None else []), "prediction"]
    header += [f"probability_{name}" for name in class_names] + (["error"] if errors is not None else [])
    rows = []
    for index, identity in enumerate(table.ids):
        row = [identity]
        if table.labels is not None:
            row.append(_named(table.labels[index], class_names, task))
        probabilities = table.probabilities[index]
        decision = probabilities.argmax() if task == "multiclass" else (probabilities >= threshold).astype(int)
        row.append(_named(decision, class_names, task))
        row += [f"{value:.8g}" for value in probabilities]
        rows.append([*row, ""] if errors is not None else row)
    for identity, error in (errors or {}).items():
        rows.append([identity, *[""] * (len(header) - 2), " ".join(str(error).split())])
    path = write_csv(Path(folder) / "predictions.csv", header, rows)

    with open(path, newline="", encoding="utf-8") as file:
        found = Counter(row["id"] for row in csv.DictReader(file))
    wanted = list(expected_ids) if expected_ids is not None else [row[0] for row in rows]
    missing = [identity for identity in wanted if identity not in found]
    twice = [identity for identity, count in found.items() if count > 1]
    strange = sorted(found.keys() - set(wanted))
    for what, ids in (("has no row for", missing), ("has two rows for", twice), ("has an unexpected row for", strange)):
        if ids:
            raise ValueError(f"{path} {what} {ids[0]!r} ({len(ids)} of {len(wanted)} images): it is not complete.")
    return path


def write_metrics(
    folder: str | Path, metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None
) -> dict[str, Path]:
    """
    Write ``metrics.json`` with everything there is, and ``metrics.csv`` with a row per metric and its interval.

    A metric that is not defined (NaN) is null in JSON, which knows no NaN, and empty in CSV.
    """
    intervals = intervals or {}
    scalars = {name: value for name, value in metrics.items() if isinstance(value, float)}
    content = {
        "metrics": {
            name: {"value": value, **({"low": one.low, "high": one.high} if (one := intervals.get(name)) else {})}
            for name, value in scalars.items()
        },
        **{name: value for name, value in metrics.items() if name not in scalars},
    }
    text = json.dumps(plain_json(content), indent=1, ensure_ascii=False)
    rows = [
        [name, *(_cell(v) for v in (value, *(intervals[name][1:] if name in intervals else ("", ""))))]
        for name, value in scalars.items()
    ]
    return {
        "metrics": write_whole(Path(folder) / "metrics.json", text + "\n"),
        "metrics_table": write_csv(Path(folder) / "metrics.csv", ["metric", "value", "low", "high"], rows),
    }


def write_per_class(folder: str | Path, metrics: Mapping[str, Any], class_names: Sequence[str]) -> Path:
    """Write ``per_class.csv``: a row per class with its number of images and every metric that is known per class."""
    per_class = metrics["per_class"]
    rows = [
        [name, str(metrics["support"][name]), *(_cell(values[name]) for values in per_class.values())]
        for name in class_names
    ]
    return write_csv(Path(folder) / "per_class.csv", ["class", "images", *per_class], rows)


def confusion_counts(probabilities: np.ndarray, labels: np.ndarray, task: str, threshold: float = 0.5) -> np.ndarray:
    """
    Count labels against decisions.

    Returns:
        multi-class: (classes, classes), rows are labels and columns are decisions; multi-label: (classes, 2, 2), for
        each label no and yes against no and yes.
    """
    if task == "multiclass":
        counts = np.zeros((probabilities.shape[1],) * 2, dtype=np.int64)
        np.add.at(counts, (labels.astype(np.int64), probabilities.argmax(axis=1)), 1)
        return counts
    truth, decision = labels.astype(bool), probabilities >= threshold
    cells = [[(t & d).sum(axis=0) for d in (~decision, decision)] for t in (~truth, truth)]
    return np.moveaxis(np.asarray(cells, dtype=np.int64), -1, 0)


def write_confusion_matrix(folder: str | Path, counts: np.ndarray, class_names: Sequence[str]) -> Path:
    """Write ``confusion_matrix.csv``: labels in rows, decisions in columns; multi-label: four counts per label."""
    path = Path(folder) / "confusion_matrix.csv"
    if counts.ndim == 2:
        rows = [[name, *map(str, row)] for name, row in zip(class_names, counts.tolist(), strict=True)]
        return write_csv(path, ["label \\ prediction", *class_names], rows)
    rows = [[name, *map(str, cells)] for name, cells in zip(class_names, counts.reshape(-1, 4).tolist(), strict=True)]
    header = ["label", "true_negative", "false_positive", "false_negative", "true_positive"]
    return write_csv(path, header, rows)


def _named(label: Any, class_names: Sequence[str], task: str) -> str:
    if task == "multiclass":
        return class_names[int(label)]
    return ";".join(name for name, value in zip(class_names, label, strict=True) if value)


def _cell(value: Any) -> str:
    return "" if value == "" or (isinstance(value, float) and math.isnan(value)) else f"{value:.8g}"


# --------------------------------------------------------------------------------------------------------- figures


def draw_confusion_matrix(folder: str | Path, counts: np.ndarray, class_names: Sequence[str]) -> Path:
    """
    Draw ``confusion_matrix.png``: shares of each label's images as colour, counts as numbers.

    Args:
        folder: where to.
        counts: from :py:func:`confusion_counts`.
        class_names: one name per class.
    """
    figure = _confusion_square(counts, class_names) if counts.ndim == 2 else _confusion_labels(counts, class_names)
    return save_figure(figure, Path(folder) / "confusion_matrix.png")


def _confusion_square(counts: np.ndarray, class_names: Sequence[str]) -> Any:
    number = len(class_names)
    side = min(max(3.2, 0.52 * number + 1.8), 14)
    figure = figure_of(side + 0.9, side, layout="compressed")  # for axes of fixed aspect
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    longest = max(map(len, class_names))
    turn = 0 if longest <= 5 else 45
    anchor = {"rotation_mode": "anchor", "ha": "right"} if turn else {}
    axes.set_xticks(range(number), class_names, rotation=turn, fontsize=9, **anchor)
    axes.set_yticks(
        range(number), [f"{n} ({t})" for n, t in zip(class_names, counts.sum(axis=1), strict=True)], fontsize=9
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled (images)")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(number - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(number - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=1)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_color("#d5dbe1")
    for row in range(number):
        for column in range(number):
            if counts[row, column]:
                colour = PAPER if shares[row, column] > 0.55 else INK
                axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=9)
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
    for values, colour, what in (
        (found, BLUE, "found"),
        (missed, "#b9cfe2", "missed"),
        (false_yes, RED, "claimed, but not labelled"),
    ):
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
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_reliability(
    folder: str | Path, probabilities: np.ndarray, labels: np.ndarray, task: str, *, num_bins: int = 15
) -> Path:
    """
    Draw ``reliability.png``: how often the network is right, against how sure it is; below, how often it is how sure.

    Multi-class looks at the class of highest probability, multi-label at all labels of all images together.

    Args:
        folder: where to.
        probabilities: of shape (images, classes).
        labels: class indices, or 0/1 of shape (images, classes).
        task: "multiclass" or "multilabel".
        num_bins: bins of equal width.
    """
    figure = figure_of(4.8, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    plot_reliability(upper, lower, probabilities, labels, task, num_bins=num_bins)
    return save_figure(figure, Path(folder) / "reliability.png")


def plot_reliability(
    upper: Any, lower: Any, probabilities: np.ndarray, labels: np.ndarray, task: str, *, num_bins: int = 15
) -> float:
    """
    The two panels of ``draw_reliability`` on axes that are there.

    Returns:
        the expected calibration error, which the upper panel's title says; multi-label: of all labels together.
    """
    if task == "multiclass":
        sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        names = "probability of the predicted class", "share that is right"
    else:
        sure, right = probabilities.reshape(-1), labels.reshape(-1).astype(bool)
        names = "predicted probability of a label", "share that is labelled"
    edges = np.linspace(0, 1, num_bins + 1)
    which = np.clip(np.digitize(sure, edges[1:-1], right=True), 0, num_bins - 1)
    totals = np.bincount(which, minlength=num_bins)
    filled = totals > 0
    observed = np.bincount(which, weights=right, minlength=num_bins)[filled] / totals[filled]
    expected = np.bincount(which, weights=sure, minlength=num_bins)[filled] / totals[filled]
    error = float((np.abs(observed - expected) * totals[filled]).sum() / totals.sum())
    width, centres = 1 / num_bins, (edges[:-1] + edges[1:]) / 2
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated", zorder=1)
    low, high = _wilson(observed, totals[filled])
    upper.vlines(expected, low, high, color=BLUE, linewidth=1.2, alpha=0.5, zorder=2)
    sizes = 14 + 70 * totals[filled] / totals.max()
    upper.scatter(
        expected,
        observed,
        s=sizes,
        color=BLUE,
        edgecolor=PAPER,
        linewidth=0.8,
        zorder=4,
        label="observed, 95 % interval",
    )
    upper.set_xlim(0, 1)
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel(names[1])
    pooled = "" if task == "multiclass" else ", all labels together"
    upper.set_title(f"expected calibration error {error:.3f}{pooled}", fontsize=10, loc="left")
    upper.legend(frameon=False, fontsize=9, loc="lower right")
    lower.bar(centres, totals, width=0.9 * width, color=BLUE)
    lower.set_xlabel(names[0])
    lower.set_ylabel("images" if task == "multiclass" else "labels")
    for axes in (upper, lower):
        tidy(axes, labelsize=9)
    return error


def _wilson(share: np.ndarray, number: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share, which also makes sense for shares of 0 and 1 and for few images."""
    middle = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    return middle - half, middle + half
