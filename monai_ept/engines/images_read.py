# SPDX-License-Identifier: Apache-2.0

"""What the images of a training are, by their content, so that a training never goes on with others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from monai_ept.data.records import Record
from monai_ept.data.sources.synthetic.picture_store import RENDER_VERSION

__all__ = ["image_hashes"]


def image_hashes(records: Iterable[Record]) -> dict[str, str]:
    """
    A short hash of each image's content by the record's id: the bytes of its file, or of all files of its folder; of an
    array its values; of a picture that is not drawn yet the plan that it follows from.

    Args:
        records: few-shot records; each file is read once more.
    """
    return {record["id"]: _hash(record["image"]) for record in records}


def _hash(image: Any) -> str:
    digest = hashlib.sha256()
    if isinstance(image, (str, os.PathLike)):
        for path in _files(Path(image)):
            digest.update(path.name.encode(errors="surrogateescape"))
            try:
                with open(path, "rb") as file:
                    for block in iter(lambda: file.read(1 << 20), b""):
                        digest.update(block)
            except OSError as error:  # whoever opens it for its pixels has the better words for it
                digest.update(f"unreadable {error.errno}".encode())
    elif hasattr(image, "plan"):
        digest.update(f"{RENDER_VERSION} {image.plan!r}".encode())
    else:
        array = np.ascontiguousarray(image)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
