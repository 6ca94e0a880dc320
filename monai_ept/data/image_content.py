# SPDX-License-Identifier: Apache-2.0

"""What an image is by its content, whatever it is called: the bytes of its files, or its values."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["content_hash", "file_blocks", "image_files"]

_BLOCK = 2**20


def content_hash(image: Any) -> str:
    """
    Sixteen digits of a hash of an image's content: the bytes of its file, or of all files of its folder, with their
    names; of an array its values; of a picture that is not drawn yet the plan that it follows from.

    Args:
        image: as a record has it; the hash of a file that cannot be read says so.
    """
    digest = hashlib.sha256()
    if isinstance(image, (str, os.PathLike)):
        for path in image_files(image) if Path(image).exists() else [Path(image)]:
            digest.update(path.name.encode(errors="surrogateescape"))
            try:
                for block in file_blocks(path):
                    digest.update(block)
            except OSError as error:  # whoever opens it for its pixels has the better words for it
                digest.update(f"unreadable {error.errno}".encode())
    elif hasattr(image, "plan"):
        from monai_ept.data.sources.synthetic.picture_store import RENDER_VERSION

        digest.update(f"{RENDER_VERSION} {image.plan!r}".encode())
    else:
        array = np.ascontiguousarray(image)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def file_blocks(path: str | os.PathLike, *, unpacked: bool = False) -> Iterator[bytes]:
    """
    What is in a file, block by block.

    Args:
        unpacked: give what is packed in it, where it is packed with gzip.

    Raises:
        OSError: when it cannot be read.
        EOFError: when it ends before what is packed in it; ``zlib.error`` when that is damaged.
    """
    import gzip

    packed = unpacked and str(path).lower().endswith(".gz")
    with gzip.open(path) if packed else open(path, "rb") as file:
        while block := file.read(_BLOCK):
            yield block


def image_files(image: Any) -> list[Path]:
    """The files of an image, sorted; none for what is neither a file nor a folder, for a pipe would never end."""
    if not isinstance(image, (str, os.PathLike)) or not os.fspath(image):  # an empty text would be this folder
        return []
    path = Path(image)
    return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path] * path.is_file()
