# SPDX-License-Identifier: Apache-2.0

"""Images decoded once per machine: a file of plain bytes that all workers map into their memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, EnsureTyped, Orientationd
from torch.utils.data import Dataset

from monai_ept.data.image_content import content_hash
from monai_ept.data.image_transforms import LoadRecordd, RepairChannelsd, UnitIntensityd
from monai_ept.data.records import Record
from monai_ept.files import usable_folder
from monai_ept.tracking.process_lock import ProcessLock

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


class ImageStore:
    """
    Decoded images in one file, with an index of lines beside it.

    Any number of processes may read, add and be killed: an image counts once its line in the index is whole.

    Args:
        folder: where the two files are.
        load: the transform that decodes, see ``split_transform``.

    Raises:
        WriteError: when the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, load: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self.folder = usable_folder(folder)
        self.load = load
        self._data = self.folder / "images.bin"
        self._index = self.folder / "images.jsonl"
        self._places: dict[str, tuple[int, tuple[int, ...], str]] = {}
        self._read = 0  # bytes of the index that are known
        self._end = 0  # bytes of the data that the index names
        self._map: np.ndarray | None = None

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, records: Mapping[str, Record]) -> int:
        """Decode what is missing of records by ``image_key``; how many this process has decoded."""
        if all(key in self._places for key in records):
            return 0
        with ProcessLock(self.folder / "images.lock"):
            self._refresh()
            self._repair()
            missing = [(key, record) for key, record in records.items() if key not in self._places]
            for start in range(0, len(missing), AT_ONCE):
                self._append(missing[start : start + AT_ONCE])
        return len(missing)

    def image(self, key: str) -> torch.Tensor:
        """A copy of a decoded image."""
        offset, shape, dtype = self._places[key]
        kind = np.dtype(dtype)
        stop = offset + int(np.prod(shape)) * kind.itemsize
        if self._map is None or len(self._map) < stop:
            self._map = np.memmap(self._data, dtype=np.uint8, mode="r")
        return torch.from_numpy(np.array(self._map[offset:stop]).view(kind).reshape(shape))

    def _refresh(self) -> None:
        if not self._index.exists():
            return
        with open(self._index, "rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        there = self._data.stat().st_size if self._data.exists() else 0
        for line in whole.splitlines():
            try:
                key, offset, shape, dtype = json.loads(line)
                end = offset + math.prod(shape) * np.dtype(dtype).itemsize
                if offset < 0 or end > there:
                    raise ValueError("beyond the end of the images")
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{self._index} is damaged: delete {self.folder}, images are decoded again."
                ) from error
            self._places[key] = (offset, tuple(shape), dtype)
            self._end = max(self._end, end)
        self._read += len(whole)

    def _repair(self) -> None:
        """Cut off what a killed process left half written; only with the lock."""
        for path, size in ((self._index, self._read), (self._data, self._end)):
            if path.exists() and path.stat().st_size > size:
                os.truncate(path, size)

    def _append(self, batch: Sequence[tuple[str, Record]]) -> None:
        places, end, lines = {}, self._end, b""
        with open(self._data, "ab") as data:
            for key, record in batch:
                array = np.ascontiguousarray(torch.as_tensor(self.load(dict(record))["image"]).numpy())
                gap = -end % 16
                data.write(b"\0" * gap + array.tobytes())
                places[key] = (end + gap, array.shape, array.dtype.str)
                end += gap + array.nbytes
                lines += json.dumps([key, *places[key]]).encode() + b"\n"
            data.flush()
            os.fsync(data.fileno())
        with open(self._index, "ab") as index:
            index.write(lines)
        # Only now: of what a full disk has cut off, nothing is known, and the next process writes over it.
        self._places.update(places)
        self._end, self._read = end, self._read + len(lines)


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
