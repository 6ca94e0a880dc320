# SPDX-License-Identifier: Apache-2.0

"""The images of a few-shot training fit on a card: moved there once, they are never copied again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from monai_ept.data.meta_data import plain_image

__all__ = ["ImagesOnDevice", "take_whole"]

SHARE = 4
"""Of the memory of a card that is free, images may take one part in so many."""


class ImagesOnDevice(Dataset):
    """
    All images of a dataset in one tensor on a device, and batches of them by their numbers.

    A loader asks for a whole batch at once and must leave it as it is: ``collate_fn=take_whole``.

    Args:
        images: a dataset of dictionaries with "image", "label" and "id", whose transforms are not random.
    """

    def __init__(self, images: Any, device: torch.device) -> None:
        rows = [images[index] for index in range(len(images))]
        self.images = torch.stack([plain_image(row["image"]) for row in rows]).to(device)
        self.labels = torch.stack([torch.as_tensor(row["label"]) for row in rows]).to(device)
        self.ids = [row.get("id", index) for index, row in enumerate(rows)]

    @staticmethod
    def suits(images: Any, device: torch.device) -> bool:
        """Whether it is a card, and has room: one image tells how much they are."""
        if device.type != "cuda" or not len(images):
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return len(images) * images[0]["image"].nbytes <= free // SHARE

    def __len__(self) -> int:
        return len(self.ids)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch, in one copy on the device."""
        where = torch.as_tensor(indices).to(self.images.device, non_blocking=True)
        ids = [self.ids[index] for index in indices]
        return {"image": self.images[where], "label": self.labels[where], "id": ids}


def take_whole(batch: Any) -> Any:
    """A batch that comes as one."""
    return batch
