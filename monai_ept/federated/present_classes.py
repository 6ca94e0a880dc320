# SPDX-License-Identifier: Apache-2.0

"""The loss of a client that has not all classes: it says nothing about those that it has not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_ept.data.records import Record
from monai_ept.engines.loss import class_weights, make_loss

__all__ = ["PresentClasses"]


class PresentClasses(nn.Module):
    """
    Cross entropy among the classes that are there, each of which counts alike.

    With all of them, images would be pushed away from classes that only other clients have, and the mean of what
    clients have learnt would forget these.

    Args:
        records: the training records, each of one class.
        num_classes: of the network.
        label_smoothing: as in ``make_loss``, over the classes that are there.
    """

    present: Tensor
    place: Tensor

    def __init__(self, records: Sequence[Record], num_classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        present = torch.tensor(sorted({int(record["label"]) for record in records}))
        place = torch.full((num_classes,), -1)
        place[present] = torch.arange(len(present))
        self.register_buffer("present", present)
        self.register_buffer("place", place)
        weights = class_weights(records, num_classes)[present]
        self.loss = make_loss("multiclass", weights, label_smoothing=label_smoothing)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of each image."""
        return self.loss(logits[:, self.present], self.place[target])
