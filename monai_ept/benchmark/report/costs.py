# SPDX-License-Identifier: Apache-2.0

"""What each method costs: numbers that are trained, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monai_ept.benchmark.report.scores import PLACE, RUN

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["costs_of"]


def costs_of(cells: pd.DataFrame, labels: Sequence[str], reference: str) -> pd.DataFrame:
    """
    What each method costs on each backbone.

    Returns:
        numbers that are trained beside the head and in it, at least and at most; medians of seconds, and of the
        ``ratio`` of training times with the same images and seed; the highest peak of ``memory`` in MB.
    """
    beside = cells.loc[cells["label"] == reference, [*PLACE, *RUN, "train_seconds"]]
    beside = beside.drop_duplicates([*PLACE, *RUN], keep="last")
    both = cells.merge(beside, on=[*PLACE, *RUN], how="left", suffixes=("", "_of_reference"))
    compared = (both["train_seconds_of_reference"] > 0) & (both["label"] != reference)
    both["ratio"] = (both["train_seconds"] / both["train_seconds_of_reference"]).where(compared)
    costs = both.groupby(["backbone", "label"], sort=False, as_index=False).agg(
        trained_least=("trained", "min"),
        trained_most=("trained", "max"),
        head_least=("head", "min"),
        head_most=("head", "max"),
        train=("train_seconds", "median"),
        test=("test_seconds", "median"),
        ratio=("ratio", "median"),
        memory=("peak_memory_mb", "max"),
        cells=("id", "size"),
    )
    backbones = list(dict.fromkeys(costs["backbone"]))
    costs = costs[costs["label"].isin(labels)]
    order = sorted(costs.index, key=lambda i: (backbones.index(costs["backbone"][i]), labels.index(costs["label"][i])))
    return costs.loc[order]
