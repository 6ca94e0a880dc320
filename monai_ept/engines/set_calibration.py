# SPDX-License-Identifier: Apache-2.0

"""Prediction sets of a trained network, from images that it has not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.data.records import Record
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.metrics import probabilities_of
from monai_ept.metrics.conformal import PredictionSets, calibrate

__all__ = ["calibrate_sets", "sets_of_validation"]

_Training = Any  # a ``Training``, which stands above this module and uses it


def calibrate_sets(training: _Training) -> str:
    """
    Give the network of a training, once it has ended, what makes prediction sets.

    They come from the validation images, in all processes alike; without any, from the training images that solving has
    left out, if the solved head is the result.

    Returns:
        why there are none, in a sentence; empty where there are.
    """
    net, split, solution = training.net, training.split, training.solution
    if split.val:
        chose = training.recipe.select == "val"
        how: dict[str, Any] = {"task": training.task, "chose": chose}
        net.prediction_sets = sets_of_validation(training.validation, split.val, split.train, **how)
        none = "No prediction sets: the groups of all validation images are trained on, too."
        return none if net.prediction_sets is None else ""
    if training.recipe.epochs or solution is None:
        return (
            f"No prediction sets: recipe {training.recipe.name} has trained on all labelled images there are; a split "
            "made with val='shots' keeps some to calibrate on."
        )
    if solution.left_out is None:
        return (
            "No prediction sets: with one group of a class no image can be left out to calibrate on; train on two of "
            "each or more, or make the split with val='shots'."
        )
    groups = [str(record["group"]) for record in split.train]
    labels = np.asarray([record["label"] for record in split.train])
    probabilities = probabilities_of(solution.left_out / net.temperature, training.task).numpy()
    net.prediction_sets = calibrate(probabilities, labels, groups, task=training.task, source="left out")
    return ""


def sets_of_validation(
    table: PredictionTable, val: Sequence[Record], train: Sequence[Record], *, task: str, chose: bool = False
) -> PredictionSets | None:
    """
    What makes prediction sets, from validation images as the network answers them now, at its temperature.

    Args:
        train: what the network has learnt from; published lists have images of a group in both, which do not count.
        chose: whether they have chosen an epoch or a temperature too.

    Returns:
        None where no image is left.
    """
    seen = {record["group"] for record in train}
    val = [record for record in val if record["group"] not in seen]
    if not val:
        return None
    row = {identity: index for index, identity in enumerate(table.ids)}
    return calibrate(
        table.probabilities[[row[record["id"]] for record in val]],
        np.asarray([record["label"] for record in val]),
        [str(record["group"]) for record in val],
        task=task,
        source="selection" if chose else "validation",
    )
