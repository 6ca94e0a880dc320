# SPDX-License-Identifier: Apache-2.0

"""What is known of single classes: the one that is looked for, intervals of the others, and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics.curves import Curves, curves_of
from monai_ept.metrics.interval import Interval
from monai_ept.metrics.positive_class import PositiveClass, binary_metrics, choose_threshold, is_class

__all__ = ["class_curves", "class_sensitivities", "positive_numbers", "threshold_of"]


def threshold_of(
    positive: PositiveClass | None, validation: PredictionTable | None, class_names: Sequence[str]
) -> float | None:
    """
    The threshold of the positive class, chosen on validation images where it asks for that.

    Raises:
        ValueError: when it is to be chosen, and validation images do not allow it.
    """
    if positive is None:
        return None
    positive.check(class_names, validated=validation is not None)
    if not positive.is_chosen:
        return float(positive.operating_point)
    assert validation is not None and validation.labels is not None
    index = list(class_names).index(positive.name)
    truth = is_class(validation.labels, index)
    return choose_threshold(validation.probabilities[:, index], truth, positive.operating_point)


def positive_numbers(
    table: PredictionTable,
    class_names: Sequence[str],
    positive: PositiveClass,
    threshold: float,
    weights: np.ndarray | None,
) -> dict[str, Any]:
    """
    What ``metrics.json`` says of the positive class.

    Args:
        weights: of the bootstrap, see ``group_weights``; None gives values alone.
    """
    index = list(class_names).index(positive.name)
    scores, truth = table.probabilities[:, index], is_class(np.asarray(table.labels), index)
    found = binary_metrics(scores, truth, threshold, prevalence=positive.prevalence, weights=weights)
    how = "given"
    if positive.is_chosen:
        how = f"{positive.operating_point}, chosen on validation images"
    return {
        "class": positive.name,
        "images": int(truth.sum()),
        "of": len(truth),
        "threshold": threshold,
        "operating_point": positive.operating_point,
        "threshold_is": how,
        "prevalence": positive.prevalence,
        "metrics": {name: {"value": one.value, **one.ends} for name, one in found.items()},
    }


def class_sensitivities(
    table: PredictionTable, class_names: Sequence[str], task: str, weights: np.ndarray | None, threshold: float = 0.5
) -> dict[str, Interval]:
    """Of each class, how many of its images are found, with intervals; NaN of a class that no image carries."""
    decisions = table.probabilities >= threshold
    if task == "multiclass":
        decisions = np.eye(len(class_names))[table.probabilities.argmax(axis=1)]
    labels = np.asarray(table.labels)
    return {
        name: binary_metrics(decisions[:, index], is_class(labels, index), 0.5, weights=weights)["sensitivity"]
        for index, name in enumerate(class_names)
    }


def class_curves(
    table: PredictionTable, class_names: Sequence[str], weights: np.ndarray | None
) -> Mapping[str, Curves]:
    """ROC and precision-recall curves of each class against the rest, of those that have some."""
    labels = np.asarray(table.labels)
    found = {
        name: curves_of(table.probabilities[:, index], is_class(labels, index), weights=weights)
        for index, name in enumerate(class_names)
    }
    return {name: curves for name, curves in found.items() if curves is not None}
