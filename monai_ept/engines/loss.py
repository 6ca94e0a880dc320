# SPDX-License-Identifier: Apache-2.0

"""The loss of a task, and weights that let rare classes count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_ept.checks import check_choice, check_number
from monai_ept.data.records import Record

__all__ = ["SmoothedBCE", "class_weights", "image_weights", "make_loss", "task_of"]


def task_of(records: Sequence[Record]) -> str:
    """Read the task from the labels: "multilabel" where they are lists of 0/1, else "multiclass".

    Raises:
        ValueError: when there are no records.
    """
    if not records:
        raise ValueError("there is no record to train on: check the split.")
    label = records[0]["label"]
    return "multilabel" if getattr(label, "ndim", 0) == 1 or isinstance(label, (list, tuple)) else "multiclass"


def class_weights(records: Sequence[Record], num_classes: int, *, largest: float = 100.0) -> Tensor:
    """
    Weights that let every class count alike in an imbalanced training set, for :py:func:`make_loss`.

    Multi-class: a class weighs in inverse proportion to its images, and the mean over images is 1. Multi-label: the
    positives of a label weigh as much as its negatives together.

    Args:
        records: the training records.
        num_classes: number of classes.
        largest: no weight is larger than this; a label with one positive among thousands would drown all others.

    Returns:
        one weight per class; 1 for a class without any image.
    """
    if task_of(records) == "multilabel":
        labels = torch.tensor([[int(value) for value in record["label"]] for record in records], dtype=torch.float64)
        positive, total = labels.sum(0), len(labels)
        weights = torch.where(positive > 0, (total - positive) / positive.clamp(min=1), torch.ones_like(positive))
        # A label that all images carry has no negatives to be as heavy as.
        weights = torch.where(positive == total, torch.ones_like(weights), weights)
    else:
        found = torch.tensor([int(record["label"]) for record in records])
        weights = torch.ones(num_classes, dtype=torch.float64)
        weights[found] = image_weights(nn.functional.one_hot(found, num_classes))
    return weights.clamp(max=largest).float()


def image_weights(targets: Tensor) -> Tensor:
    """
    How much each image counts, 1 on average, so that every class counts alike, however many images it has.

    Args:
        targets: ``(images, classes)``, 1 in the column of an image's class.
    """
    targets = targets.double()
    weights = (targets / targets.sum(0).clamp(min=1)).sum(1)
    return weights / weights.mean()


def make_loss(
    task: str = "multiclass", weights: Tensor | Sequence[float] | None = None, *, label_smoothing: float = 0.0
) -> nn.Module:
    """
    Cross entropy for one class per image, binary cross entropy for labels that go together; both on logits.

    The loss comes unreduced and the trainer takes its mean: then class weights work within a batch of one class too
    (torch's own mean divides by the weights of the batch), and several processes with small batches agree with one
    that has them all.

    Args:
        task: "multiclass" or "multilabel".
        weights: one weight per class, see :py:func:`class_weights`.
        label_smoothing: share of each label that is spread over all classes, or over both answers to one label.

    Raises:
        ValueError: for an unknown task, or a share out of range.
    """
    check_choice("task", task, ("multiclass", "multilabel"))
    check_number("label_smoothing", label_smoothing, least=0, below=1)
    tensor = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    if task == "multiclass":
        return nn.CrossEntropyLoss(weight=tensor, reduction="none", label_smoothing=label_smoothing)
    return SmoothedBCE(label_smoothing, pos_weight=tensor, reduction="none")


class SmoothedBCE(nn.BCEWithLogitsLoss):
    """Binary cross entropy to labels that are moved towards one half."""

    def __init__(self, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, torch.lerp(target, torch.full_like(target, 0.5), self.label_smoothing))
