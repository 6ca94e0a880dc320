# SPDX-License-Identifier: Apache-2.0

"""
Images that come in a request to a served model: bytes or paths in, what the network takes out.

A request may come from anybody. What is wrong with it is said with its row and without anything of its content, and
nothing is decoded before its size is known.
"""

from __future__ import annotations

import base64
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.utils import optional_import

from monai_ept.data.image_file import nifti_header, no_regular_file, reason
from monai_ept.data.read_image import file_kind

__all__ = ["FOLDER", "MOST_BYTES", "MOST_PIXELS", "MOST_ROWS", "is_table", "read_table", "read_tasks"]

FOLDER = "MONAI_EPT_SERVE_FOLDER"
"""Environment variable that names the folder under which paths may lie; without it none may."""
MOST_ROWS = 100
MOST_NAMES = 10
MOST_BYTES = 64 * 2**20
MOST_PIXELS = {2: 2**26, 3: 2**28}
"""Of one image, by the number of its dimensions."""

IMAGE = ("image", "path")
PICTURES = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")  # PIL would also start other programs, for PostScript
DEFLATED = "1.2.840.10008.1.2.1.99"


def is_table(request: Any) -> bool:
    """Whether a request is a table, in any of the forms in which MLflow hands one on, and not an array of numbers."""
    rows = isinstance(request, list) and bool(request) and isinstance(request[0], Mapping)
    return rows or isinstance(request, Mapping) or hasattr(request, "columns")


def read_table(table: Any, transform: Callable[[Mapping], Mapping], spatial_dims: int) -> torch.Tensor:
    """
    The images of a table as the network takes them.

    Args:
        table: a data frame, a mapping of columns, or a list of rows. Each row has either ``image``, the bytes of a file
            or the same in base64, or ``path``.
        transform: makes what the network takes of a record.

    Raises:
        ValueError: in one sentence, with the row that is wrong.
    """
    return _read(_rows(table), lambda _: transform, spatial_dims)


def read_tasks(
    table: Any, transforms: Mapping[str, Callable[[Mapping], Mapping]], spatial_dims: int
) -> tuple[list[str], torch.Tensor]:
    """
    The tasks and images of a table whose rows each name one in the column ``task``.

    Raises:
        ValueError: in one sentence, with the row that is wrong.
    """
    names: list[str] = []
    there = ", ".join([*transforms][:MOST_NAMES])
    more = f" and {len(transforms) - MOST_NAMES} more" if len(transforms) > MOST_NAMES else ""

    def prepare(row: Mapping[str, Any]) -> Callable[[Mapping], Mapping]:
        name = _plain(row["task"])
        if not isinstance(name, str) or name not in transforms:
            raise ValueError(f"'task' is none of this bank's: there is {there}{more}")
        names.append(name)
        return transforms[name]

    rows = _rows(table)
    if "task" not in rows[0]:
        raise ValueError(f"the request has no column 'task', which says of each row what to answer: {there}{more}.")
    return names, _read(rows, prepare, spatial_dims)


def _read(rows: Sequence[Mapping[str, Any]], prepare: Callable, spatial_dims: int) -> torch.Tensor:
    images = []
    for number, row in enumerate(rows, start=1):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place)
            try:
                transform = prepare(row)
                path = _file_of(row, path)
                _check_size(path, spatial_dims)
                images.append(transform({"image": str(path)})["image"])
            except Exception as error:  # whatever a reader makes of a broken file
                raise ValueError(f"row {number} of {len(rows)}: {_said(error, path)}") from None
    return torch.stack(images)


def _said(error: BaseException, path: Path) -> str:
    while error.__cause__ is not None:  # MONAI names the transform, its cause says what is wrong
        error = error.__cause__
    in_words = isinstance(error, (ValueError, ImportError))
    text = " ".join(str(error).split()) if in_words else f"the image cannot be read ({reason(error)})"
    return text.replace(repr(str(path)), "the image").replace(str(path), "the image")[:300]


def _rows(table: Any) -> Sequence[Mapping[str, Any]]:
    import pandas

    try:
        if isinstance(table, Mapping):
            table = {name: np.atleast_1d(np.asarray(values)) for name, values in table.items()}
        frame = pandas.DataFrame(table)
    except Exception:  # pandas' words may hold what was sent
        raise ValueError("the request is no table: its columns must be lists of the same length.") from None
    if not {*IMAGE} & {*frame.columns}:
        raise ValueError("the request has neither a column 'image', for bytes in base64, nor a column 'path'.")
    if not 1 <= len(frame) <= MOST_ROWS:
        raise ValueError(f"the request has {len(frame)} rows, and 1 to {MOST_ROWS} are taken: send others separately.")
    frame = frame[[name for name in ("task", *IMAGE) if name in frame.columns]].astype(object)
    return frame.where(frame.notna(), None).to_dict(orient="records")


def _file_of(row: Mapping[str, Any], place: Path) -> Path:
    """The file of a row's image, which is written into a folder if it came as bytes."""
    given = {name: row[name] for name in IMAGE if row.get(name) is not None}
    if len(given) != 1:
        raise ValueError(f"there must be either 'image' or 'path', and there is {'both' if given else 'neither'}")
    name, value = given.popitem()
    value = _plain(value)
    if name == "path":
        return _allowed(value)
    content = _content(value)
    # The readers know pictures and DICOM by their content, and NIfTI by its name.
    packed, plain = content.startswith(b"\x1f\x8b"), content[344:348] in (b"n+1\0", b"n+2\0")
    path = place / f"image{'.nii.gz' if packed else '.nii' if plain else ''}"
    path.write_bytes(content)
    return path


def _plain(value: Any) -> Any:
    """A cell without the array that one of MLflow's forms wraps around each text."""
    return value.item() if isinstance(value, np.ndarray) and not value.ndim else value


def _content(value: Any) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"'image' must be the bytes of a file, in base64, and is of type {type(value).__name__}")
    if len(value) > MOST_BYTES * (4 / 3 if isinstance(value, str) else 1) + 2**20:  # line breaks and the like
        raise ValueError(_TOO_LARGE)
    if isinstance(value, str):
        try:
            value = base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            raise ValueError("'image' is no base64; the path of a file goes into the column 'path'") from None
    if not value:
        raise ValueError("'image' is empty")
    if len(value) > MOST_BYTES:
        raise ValueError(_TOO_LARGE)
    return value


def _allowed(value: Any) -> Path:
    """A path that lies in the folder that this server may read from, wherever links in it lead."""
    folder = os.environ.get(FOLDER)
    if not folder:
        raise ValueError(f"this server takes no paths ({FOLDER} is not set): send the image itself in 'image'")
    root = Path(folder).resolve()
    try:
        path = (root / value).resolve()
        parts = [path, *(path.iterdir() if path.is_dir() else ())]
        inside = all(one.resolve().is_relative_to(root) for one in parts)
    except (TypeError, ValueError, OSError, RuntimeError):  # no text, a zero in it, too long, a circle of links
        raise ValueError("'path' is no path of a file") from None
    if not inside:
        raise ValueError("'path' leads out of the folder that this server reads from")
    return path


def _check_size(path: Path, spatial_dims: int) -> None:
    """Refuse what would take too much memory, by its header."""
    problem = no_regular_file(path)
    if problem:
        raise ValueError(f"the image {problem}")
    if path.is_dir():  # a series, which only a path can be
        if spatial_dims == 2:
            raise ValueError("'path' is a folder, and an image is a file")
        return
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(_TOO_LARGE)
    look = {"image": _picture, "dicom": _dicom, "nifti": lambda one: nifti_header(one).shape}.get(file_kind(path))
    pixels = math.prod(look(path)) if look else 0  # the header of an array is compared with its file's size
    if pixels > MOST_PIXELS[spatial_dims]:
        raise ValueError(f"the image has {pixels:,} pixels, and at most {MOST_PIXELS[spatial_dims]:,} are taken")


_TOO_LARGE = f"the image has more than {MOST_BYTES // 2**20} MB"


def _picture(path: Path) -> Sequence[int]:
    pil_image, _ = optional_import("PIL.Image")
    try:
        with pil_image.open(path, formats=PICTURES) as picture:
            return picture.size
    except pil_image.UnidentifiedImageError:
        raise ValueError("the image is no PNG, JPEG, TIFF, BMP, WebP, GIF, DICOM or NIfTI file") from None


def _dicom(path: Path) -> Sequence[int]:
    pydicom, _ = optional_import("pydicom")
    if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED:
        raise ValueError("the image is deflated DICOM, which unpacks to any size: send it in another transfer syntax")
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return [int(header.get(name) or 1) for name in ("Rows", "Columns", "NumberOfFrames")]
