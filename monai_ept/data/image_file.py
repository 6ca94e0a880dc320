# SPDX-License-Identifier: Apache-2.0

"""What can be told of an image file without decoding it; each error is the end of a sentence that names the file."""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from monai.utils import optional_import

__all__ = ["all_finite", "channel_axis", "check_sizes", "nifti_header", "no_regular_file", "reason"]

_ODD = {stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}


def no_regular_file(path: str | Path) -> str | None:
    """Why a path is neither a file nor a folder, as the end of a sentence: to open a pipe would be to wait."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        # What a link points to is worth saying: the link itself is there.
        return f"is a link to {os.readlink(path)!r}, which does not exist" if os.path.islink(path) else "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read ({reason(error)})"
    return next((f"is {what} and no image file: remove it" for is_odd, what in _ODD.items() if is_odd(mode)), None)


def reason(error: BaseException) -> str:
    """What a reader's error says, in one line."""
    said = str(error.strerror or error) if isinstance(error, OSError) else str(error)
    return f"{type(error).__name__}: {(said.strip().splitlines() or [''])[0][:200]}"


def all_finite(array: np.ndarray) -> bool:
    """Whether nothing in an array is NaN or infinite; one sum tells, without a mask as large as the image."""
    return array.dtype.kind != "f" or math.isfinite(float(array.sum(dtype=np.float64)))


def channel_axis(shape: Sequence[int], spatial_dims: int, name: str) -> int | None:
    """Where the channels of an array are, which may come last (as in files) or first; None if it has none.

    Args:
        spatial_dims: 2 or 3; what is left over is the channel axis.

    Raises:
        ValueError: when the shape is none of an image.
    """
    if len(shape) == spatial_dims:
        return None
    if len(shape) == spatial_dims + 1 and (shape[-1] <= 4 or shape[0] <= 4):
        return -1 if shape[-1] <= 4 else 0
    hint = "; spatial_dims=3 reads volumes" if spatial_dims == 2 and len(shape) == 3 else ""
    raise ValueError(f"{name} has shape {tuple(shape)}, which is not {spatial_dims}-D with up to 4 channels{hint}.")


def nifti_header(path: str | Path) -> Any:
    """A NIfTI file whose voxels are not read yet.

    Raises:
        ValueError: when it says what cannot be: no voxels, more than the file has, or a position that is no number.
    """
    nibabel, _ = optional_import("nibabel")
    image = nibabel.load(path)
    if not all(size > 0 for size in image.shape):
        raise ValueError(f"its shape is {tuple(image.shape)}: a dimension is {min(image.shape)}")
    if not np.isfinite(image.affine).all():
        raise ValueError("its affine, the position in space, holds values that are not finite")
    voxels = math.prod(image.shape) * image.get_data_dtype().itemsize
    size = os.path.getsize(path)
    room = 1100 * size if str(path).lower().endswith(".gz") else size - image.dataobj.offset  # no gzip packs tighter
    if voxels > room:
        raise ValueError(f"it is cut off: its header promises {voxels:,} bytes of voxels")
    return image


def check_sizes(path: str | Path) -> None:
    """Look at the headers of an ``.npy`` or ``.npz`` file, whose arrays NumPy would make room for without asking.

    Raises:
        ValueError: when an array is larger than the file says it is, or all of them than this machine's memory.
        OSError, zipfile.BadZipFile: when the file cannot be read.
    """
    if not str(path).lower().endswith(".npz"):
        with open(path, "rb") as file:
            _check(file, os.path.getsize(path), Path(path).name)
        return
    with zipfile.ZipFile(path) as packed:
        claimed = 0
        for member in packed.infolist():
            with packed.open(member) as content:
                claimed += _check(content, member.file_size, member.filename.removesuffix(".npy"))
    memory = _memory()
    if claimed > memory:
        raise ValueError(
            f"its arrays take {claimed / 1e9:,.0f} GB and this machine has {memory / 1e9:,.0f} GB of memory"
        )


def _check(file: IO[bytes], size: int, name: str) -> int:
    """The bytes of an array, if the file has as many."""
    if file.read(6) != b"\x93NUMPY":
        raise ValueError(f"{name} is no array")
    read: Any = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = tuple(file.read(2))
    if version not in read:
        return 0  # newer than this NumPy, which says so itself
    shape, _, dtype = read[version](file)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > size and not dtype.hasobject:
        raise ValueError(f"{name} says that it has {claimed:,} bytes, but there are {size:,}: the file is damaged")
    return claimed


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return math.inf
