# SPDX-License-Identifier: Apache-2.0

"""Images that are there twice, byte for byte, under whatever names."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_ept.data.image_content import content_hash, file_blocks, image_files
from monai_ept.data.read_image import read_image
from monai_ept.data.records import Record

__all__ = ["exact_copies"]


def exact_copies(records: Sequence[Record], *, pixels: bool = False) -> list[list[str]]:
    """Find records whose images are the same, also by a hard or symbolic link, and also if one is packed with gzip.

    What is cheap comes first, and only what agrees in it is looked at more closely: the length (which a file's entry in
    its folder tells), then a checksum, then a hash of the whole. A DICOM series is all of its files, whatever their
    names. Images that are drawn when they are asked for, and files that cannot be read, are passed over.

    Args:
        pixels: compare what is decoded, so that images saved anew without loss in another format are found as well.
            This reads and decodes everything.

    Returns:
        the ids of each image that is there more than once, sorted.
    """
    with ThreadPoolExecutor(max_workers=min(16, 4 * (os.cpu_count() or 1))) as pool:

        def same(candidates: Iterable[Sequence[Record]], key: Callable[[Any], Hashable]) -> list[list[Record]]:
            """Those of each set of candidates that agree in a key, which is None for what has none."""
            found: list[list[Record]] = []
            for several in candidates:
                by_key: dict[Hashable, list[Record]] = {}
                for record, value in zip(several, pool.map(key, [one["image"] for one in several]), strict=True):
                    if value is not None:
                        by_key.setdefault(value, []).append(record)
                found += [members for members in by_key.values() if len(members) > 1]
            return found

        found = [list(records)]
        for key in (_decoded,) if pixels else (_length, _checksum, _content):
            found = same(found, key)
    # A record that is listed twice is no copy of itself; whoever checks ids says so.
    ids = [sorted({record["id"] for record in members}) for members in found]
    return sorted(several for several in ids if len(several) > 1)


def _length(image: Any) -> Hashable:
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return tuple(image.shape), str(image.dtype)
    try:
        return tuple(sorted(_unpacked_length(path) for path in image_files(image))) or None
    except OSError:
        return None


def _unpacked_length(path: Path) -> int:
    """Of a gzip file, modulo 2**32, what it says itself."""
    if path.suffix.lower() == ".gz":
        return int.from_bytes(_last_bytes(path)[4:], "little")
    return path.stat().st_size % 2**32


def _checksum(image: Any) -> Hashable:
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return zlib.crc32(np.ascontiguousarray(image).data)
    try:
        return tuple(sorted(_crc(path) for path in image_files(image)))
    except OSError:
        return None


def _crc(path: Path) -> int:
    if path.suffix.lower() == ".gz":  # it carries that of what is packed in it
        return int.from_bytes(_last_bytes(path)[:4], "little")
    return reduce(lambda value, block: zlib.crc32(block, value), file_blocks(path), 0)


def _content(image: Any) -> Hashable:
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return content_hash(image)
    try:
        return tuple(sorted(_unpacked_hash(path) for path in image_files(image)))
    except (OSError, EOFError, zlib.error):
        return None


def _unpacked_hash(path: Path) -> bytes:
    """Of what is in a file, whatever it is called and however it is packed."""
    digest = hashlib.sha256()
    for block in file_blocks(path, unpacked=True):
        digest.update(block)
    return digest.digest()


def _decoded(image: Any) -> Hashable:
    if isinstance(image, (str, Path)):
        try:
            image = np.asarray(read_image(image))
        except (OSError, ValueError):
            return None
    elif not isinstance(image, (np.ndarray, torch.Tensor)):
        return None
    return content_hash(image)


def _last_bytes(path: Path, number: int = 8) -> bytes:
    with open(path, "rb") as file:
        file.seek(-number, os.SEEK_END)
        return file.read()
