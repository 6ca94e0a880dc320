# SPDX-License-Identifier: Apache-2.0

"""Which images a network is most wrong about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_ept.data.records import Record
from monai_ept.handlers.collect_predictions import PredictionTable

__all__ = ["worst_mistakes"]


def worst_mistakes(
    records: Sequence[Record], table: PredictionTable, task: str, *, number: int = 12, threshold: float = 0.5
) -> list[Record]:
    """
    The records that are decided wrongly, the surest decision first.

    Args:
        task: "multiclass" (how sure it is of the wrong class) or "multilabel" (how far its worst label is off).
    """
    labels, probabilities = np.asarray(table.labels), table.probabilities
    if task == "multiclass":
        wrong = probabilities.argmax(axis=1) != labels
        sure = probabilities.max(axis=1)
    else:
        missed = (probabilities >= threshold) != labels.astype(bool)
        wrong = missed.any(axis=1)
        sure = np.where(missed, np.abs(probabilities - labels), 0).max(axis=1)
    order = [row for row in np.argsort(-sure, kind="stable") if wrong[row]]
    by_id = {record["id"]: record for record in records}
    return [by_id[table.ids[row]] for row in order[:number]]
