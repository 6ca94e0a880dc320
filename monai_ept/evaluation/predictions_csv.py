# SPDX-License-Identifier: Apache-2.0

"""``predictions.csv``: what the network said about every image."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.evaluation.prediction_sets import set_columns
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.reporting.csv_file import harmless_cell, original_cell, write_csv

__all__ = ["write_predictions"]


def write_predictions(
    folder: str | Path,
    table: PredictionTable,
    class_names: Sequence[str],
    task: str,
    *,
    expected_ids: Sequence[str] | None = None,
    errors: Mapping[str, str] | None = None,
    threshold: float = 0.5,
    sets: PredictionSets | None = None,
    positive: Mapping[str, Any] | None = None,
) -> Path:
    """
    Write ``predictions.csv``: one row per image with its label, the decision and the probability of every class.

    It is read again and checked: every image is there, once. Ids and names that a spreadsheet would take for a formula
    begin with an apostrophe; ``monai_ept.reporting.csv_file.original_cell`` takes it away.

    Args:
        folder: where to.
        table: the predictions; without labels the column stays away.
        class_names: one name per class.
        task: "multiclass" (the class of highest probability) or "multilabel" (all from ``threshold`` on, joined by ;).
        expected_ids: ids that must be there; those of the table by default.
        errors: what went wrong with images that could not be read, by id: a row each, without probabilities.
        threshold: for multi-label decisions.
        sets: what makes prediction sets: more columns then, the classes in the ``set`` and whether the network is
            ``sure`` ("yes" or "not sure"); of several labels the set has all that cannot be ruled out, and ``not_sure``
            those of them that may not be there either.
        positive: the "class" that is looked for, and the "threshold" from which on it is claimed: a column
            ``positive`` then, "yes" or "no", which may be another decision than ``prediction``.

    Raises:
        ValueError: when an image is missing, or there twice.
    """
    if len(class_names) != table.probabilities.shape[1]:
        raise ValueError(
            f"class_names has {len(class_names)} names and the predictions have {table.probabilities.shape[1]} classes."
        )
    header = ["id", *(["label"] if table.labels is not None else []), "prediction"]
    beside = {} if sets is None else set_columns(sets, table.probabilities, class_names, task)
    if positive is not None:
        claimed = table.probabilities[:, list(class_names).index(positive["class"])] >= positive["threshold"]
        beside = {"positive": ["yes" if one else "no" for one in claimed], **beside}
    header += [*beside]
    header += [f"probability_{name}" for name in class_names] + (["error"] if errors is not None else [])
    rows = []
    for index, identity in enumerate(table.ids):
        probabilities = table.probabilities[index]
        decision = probabilities.argmax() if task == "multiclass" else probabilities >= threshold
        given = [] if table.labels is None else [table.labels[index]]
        said = [_named(label, class_names, task) for label in (*given, decision)]
        said += [cells[index] for cells in beside.values()]
        rows.append([identity, *said, *probabilities, *([""] if errors is not None else [])])
    for identity, error in (errors or {}).items():
        rows.append([identity, *[""] * (len(header) - 2), " ".join(str(error).split())])
    safe = [[harmless_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    path = write_csv(Path(folder) / "predictions.csv", [harmless_cell(name) for name in header], safe)

    with open(path, newline="", encoding="utf-8") as file:
        found = Counter(original_cell(row["id"]) for row in csv.DictReader(file))
    wanted = list(expected_ids) if expected_ids is not None else [row[0] for row in rows]
    missing = [identity for identity in wanted if identity not in found]
    twice = [identity for identity, count in found.items() if count > 1]
    strange = sorted(found.keys() - set(wanted))
    for what, ids in (("has no row for", missing), ("has two rows for", twice), ("has an unexpected row for", strange)):
        if ids:
            raise ValueError(f"{path} {what} {ids[0]!r} ({len(ids)} of {len(wanted)} images): it is not complete.")
    return path


def _named(label: Any, class_names: Sequence[str], task: str) -> str:
    if task == "multiclass":
        return class_names[int(label)]
    return ";".join(name for name, value in zip(class_names, label, strict=True) if value)
