# SPDX-License-Identifier: Apache-2.0

"""All files of an evaluation; each is written whole or not at all, and the same predictions give the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.evaluation.confusion_matrix import confusion_counts, draw_confusion_matrix, write_confusion_matrix
from monai_ept.evaluation.curve_files import draw_curves, write_curves
from monai_ept.evaluation.predictions_csv import write_predictions
from monai_ept.evaluation.reliability import draw_reliability
from monai_ept.files import plain_json, remove_partials, usable_folder, write_whole
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics import Interval
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.metrics.curves import Curves
from monai_ept.reporting.csv_file import write_csv

__all__ = ["write_metrics", "write_per_class", "write_report"]


def write_report(
    folder: str | Path,
    table: PredictionTable,
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Interval],
    *,
    class_names: Sequence[str],
    task: str,
    curves: Mapping[str, Curves] | None = None,
    expected_ids: Sequence[str] | None = None,
    figures: bool = True,
    sets: PredictionSets | None = None,
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
        curves: of each class, from ``class_curves``.
        expected_ids: ids that must all be there.
        figures: draw the figures too.
        sets: what makes prediction sets, which stand beside the predictions then.

    Raises:
        ValueError: when predictions are not complete.
        WriteError: when the folder cannot be written.

    Returns:
        path by what it is: "predictions", "metrics", "metrics_table", "per_class", "confusion_matrix" and "curves", and
        with figures "confusion_figure", "reliability_figure" and "curves_figure".
    """
    if table.labels is None:
        raise ValueError("a report compares predictions with labels, and there are none.")
    folder = usable_folder(folder)
    remove_partials(folder, "*")  # of a process that was killed while it wrote here
    counts = confusion_counts(table.probabilities, table.labels, task)
    about: dict[str, Any] = {"expected_ids": expected_ids, "sets": sets, "positive": metrics.get("positive")}
    paths = {
        "predictions": write_predictions(folder, table, class_names, task, **about),
        **write_metrics(folder, metrics, intervals),
        "per_class": write_per_class(folder, metrics, class_names, curves),
        "confusion_matrix": write_confusion_matrix(folder, counts, class_names),
    }
    if curves:
        paths["curves"] = write_curves(folder, curves)
    if figures:
        paths["confusion_figure"] = draw_confusion_matrix(folder, counts, class_names)
        paths["reliability_figure"] = draw_reliability(folder, table.probabilities, table.labels, task)
        if curves:
            paths["curves_figure"] = draw_curves(folder, curves, metrics.get("positive"))
    return paths


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
    rows = [[name, value, *(intervals[name][1:] if name in intervals else ("", ""))] for name, value in scalars.items()]
    return {
        "metrics": write_whole(Path(folder) / "metrics.json", text + "\n"),
        "metrics_table": write_csv(Path(folder) / "metrics.csv", ["metric", "value", "low", "high"], rows),
    }


def write_per_class(
    folder: str | Path,
    metrics: Mapping[str, Any],
    class_names: Sequence[str],
    curves: Mapping[str, Curves] | None = None,
) -> Path:
    """Write ``per_class.csv``: a row per class with its number of images and every metric that is known per class."""
    per_class = metrics["per_class"]
    header = ["class", "images", *per_class]
    rows = [[name, metrics["support"][name], *(values[name] for values in per_class.values())] for name in class_names]
    if "sensitivity_intervals" in metrics:
        header += ["sensitivity_low", "sensitivity_high"]
        for name, row in zip(class_names, rows, strict=True):
            row += metrics["sensitivity_intervals"][name]
    if curves:
        header += ["auc_low", "auc_high", "average_precision_low", "average_precision_high"]
        for name, row in zip(class_names, rows, strict=True):
            both = curves.get(name)
            row += [math.nan] * 4 if both is None else [*both.roc.area[1:], *both.precision_recall.area[1:]]
    return write_csv(Path(folder) / "per_class.csv", header, rows)
