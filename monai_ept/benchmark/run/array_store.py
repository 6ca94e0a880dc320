# SPDX-License-Identifier: Apache-2.0

"""Arrays computed once per machine: a file of plain bytes that all workers map into their memory."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from monai_ept.files import usable_folder
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["ArrayStore"]


class ArrayStore:
    """
    Arrays by key in one file, with an index of lines beside it.

    Any number of processes may read, add and be killed: an array counts once its line in the index is whole.

    Args:
        what: what the arrays are, which the files are called by.

    Raises:
        WriteError: when the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, what: str) -> None:
        self.folder, self.what = usable_folder(folder), what
        self._data = self.folder / f"{what}.bin"
        self._index = self.folder / f"{what}.jsonl"
        self._places: dict[str, tuple[int, tuple[int, ...], str]] = {}
        self._read = 0  # bytes of the index that are known
        self._end = 0  # bytes of the data that the index names
        self._map: np.ndarray | None = None

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> np.ndarray:
        """A copy of an array."""
        offset, shape, dtype = self._places[key]
        kind = np.dtype(dtype)
        stop = offset + int(np.prod(shape)) * kind.itemsize
        if self._map is None or len(self._map) < stop:
            self._map = np.memmap(self._data, dtype=np.uint8, mode="r")
        return np.array(self._map[offset:stop]).view(kind).reshape(shape)

    def put(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add arrays; those that another process has added meanwhile stay."""
        with self.alone():
            self.append((key, array) for key, array in arrays.items() if key not in self)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A context in which no other process adds anything, and what others have added is known."""
        with ProcessLock(self.folder / f"{self.what}.lock"):
            self.refresh()
            for path, size in ((self._index, self._read), (self._data, self._end)):
                if path.exists() and path.stat().st_size > size:  # what a killed process has left half written
                    os.truncate(path, size)
            yield

    def refresh(self) -> None:
        """
        Learn what other processes have added.

        Raises:
            ValueError: when the index is damaged.
        """
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
                    raise ValueError(f"beyond the end of the {self.what}")
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{self._index} is damaged: delete {self.folder}, {self.what} are computed again."
                ) from error
            self._places[key] = (offset, tuple(shape), dtype)
            self._end = max(self._end, end)
        self._read += len(whole)

    def append(self, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
        """Write arrays that are not there yet, one after another; only inside ``alone``."""
        places, end, lines = {}, self._end, b""
        with open(self._data, "ab") as data:
            for key, array in arrays:
                gap = -end % 16
                data.write(b"\0" * gap + np.ascontiguousarray(array).tobytes())
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
