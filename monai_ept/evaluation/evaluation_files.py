# SPDX-License-Identifier: Apache-2.0

"""All files of an evaluation; each is written whole or not at all, and the same predictions give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.evaluation.confusion_matrix import confusion_counts, draw_confusion_matrix, write_confusion_matrix
from monai_ept.evaluation.metrics_files import write_metrics, write_per_class
from monai_ept.evaluation.predictions_csv import write_predictions
from monai_ept.evaluation.reliability import draw_reliability
from monai_ept.files import remove_partials, usable_folder
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics import Interval

__all__ = ["write_report"]


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
