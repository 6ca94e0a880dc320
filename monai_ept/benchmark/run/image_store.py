# SPDX-License-Identifier: Apache-2.0

"""Images decoded once per machine, and a data set of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, EnsureTyped, Orientationd
from torch.utils.data import Dataset

from monai_ept.benchmark.run.array_store import ArrayStore
from monai_ept.data.image_content import content_hash
from monai_ept.data.image_transforms import LoadRecordd, RepairChannelsd, UnitIntensityd
from monai_ept.data.records import Record

__all__ = ["ImageStore", "RecordImages", "image_key", "split_transform"]

LOADING = (LoadRecordd, Orientationd, RepairChannelsd, UnitIntensityd, EnsureTyped)
AT_ONCE = 32  # images between two visits to the index: what a kill may cost


def split_transform(transform: Compose) -> tuple[Compose, Compose]:
    """The part of ``train_transforms`` or ``eval_transforms`` that reads an image, and the part that follows."""
    steps = list(transform.transforms)
    cut = next((at for at, step in enumerate(steps) if not isinstance(step, LOADING)), len(steps))
    if cut == 0:
        raise ValueError("the transform does not begin with LoadRecordd: use train_transforms or eval_transforms.")
    return Compose(steps[:cut]), Compose(steps[cut:])


def image_key(record: Record) -> str:
    """A name of an image's content: of a file its path, size and date, of anything else ``content_hash``."""
    image = record["image"]
    if not isinstance(image, (str, os.PathLike)):
        return content_hash(image)
    path = Path(image).absolute()
    about = path.stat()
    return hashlib.sha256(f"{path}\n{about.st_size}\n{about.st_mtime_ns}".encode()).hexdigest()[:32]


class ImageStore(ArrayStore):
    """
    Decoded images, for all workers of a machine.

    Args:
        load: the transform that decodes, see ``split_transform``.

    Raises:
        WriteError: when the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, load: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        super().__init__(folder, "images")
        self.load = load

    def add(self, records: Mapping[str, Record]) -> int:
        """Decode what is missing of records by ``image_key``; how many this process has decoded."""
        if all(key in self for key in records):
            return 0
        with self.alone():
            missing = [key for key in records if key not in self]
            for start in range(0, len(missing), AT_ONCE):
                self.append((key, self._decoded(records[key])) for key in missing[start : start + AT_ONCE])
        return len(missing)

    def _decoded(self, record: Record) -> np.ndarray:
        return torch.as_tensor(self.load(dict(record))["image"]).numpy()

    def image(self, key: str) -> torch.Tensor:
        """A copy of a decoded image."""
        return torch.from_numpy(self[key])


class RecordImages(Dataset):
    """Images of records out of a store, by their ``image_key``, and what the transform after decoding makes of them."""

    def __init__(self, records: Sequence[Record], keys: Sequence[str], store: ImageStore, transform: Compose) -> None:
        self.records, self.keys, self.store = records, keys, store
        self.transform = transform

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Any:
        record = self.records[index]
        return self.transform(
            {"image": self.store.image(self.keys[index]), "label": record["label"], "id": record["id"]}
        )
