# SPDX-License-Identifier: Apache-2.0

"""A network beside another model on the same images."""

from __future__ import annotations

from typing import Any

from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics.classification import KEY_METRIC, metric_names
from monai_ept.metrics.paired_tests import PairedComparison, compare_models
from monai_ept.reporting.comparison_sentence import say_comparison

__all__ = ["beside_baseline", "compare_tables"]


def compare_tables(
    first: PredictionTable, second: PredictionTable, *, task: str, **settings: Any
) -> dict[str, PairedComparison]:
    """
    ``compare_models`` of predictions of the same images, in whatever order.

    Args:
        first: predictions of the first model, with labels.

    Raises:
        ValueError: when they are not of the same images.
    """
    rows = {identity: row for row, identity in enumerate(first.ids)}
    if set(rows) != set(second.ids):
        alone = sorted(set(rows) ^ set(second.ids))
        raise ValueError(f"two models are compared on the same images, and {alone[0]!r} is predicted by one alone.")
    order = [rows[identity] for identity in second.ids]
    return compare_models(
        first.probabilities[order],
        second.probabilities,
        second.labels,  # type: ignore[arg-type]  # which evaluate_table has looked for
        task=task,  # type: ignore[arg-type]
        metrics=metric_names(task),
        **settings,
    )


def beside_baseline(table: PredictionTable, name: str, other: PredictionTable, **settings: Any) -> dict[str, Any]:
    """What ``metrics.json`` says of a baseline."""
    found = compare_tables(other, table, **settings)
    key = found[KEY_METRIC[settings["task"]]]
    rows = {
        metric: {
            "baseline": one.first,
            "value": one.second,
            "difference": one.difference.value,
            **one.difference.ends,
        }
        for metric, one in found.items()
    }
    ahead = key.told_apart and key.second_is_better
    return {"name": name, "metrics": rows, "ahead": ahead, "said": say_comparison(key, name, "this network")}
