# SPDX-License-Identifier: Apache-2.0

"""Reads one image file of any supported kind, and tells quickly whether a file is readable.

MONAI's readers do the reading. What is added here is what they leave open: which reader takes a file, palette, alpha
and 16-bit images, rows before columns, and inverted X-rays; and an error that names the file.
"""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor, NibabelReader, NumpyReader, PILReader, PydicomReader
from monai.utils import optional_import

from monai_ept.data.image_file import all_finite, channel_axis, check_sizes, nifti_header, no_regular_file, reason

__all__ = ["DICOM_SUFFIXES", "IMAGE_SUFFIXES", "NIFTI_SUFFIXES", "check_file", "file_kind", "is_dicom", "read_image"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")

# The last bytes of a complete file; a file that does not end like this is decoded to be sure.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def file_kind(path: str | Path) -> str:
    """Which reader a file needs: "nifti", "dicom" (a folder is a DICOM series), "numpy" or "image"."""
    path = Path(path)
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return "nifti"
    if name.endswith((".npy", ".npz")):
        return "numpy"
    if name.endswith(DICOM_SUFFIXES) or path.is_dir():
        return "dicom"
    # DICOM files often have no suffix, or a number after a dot.
    return "image" if name.endswith(IMAGE_SUFFIXES) or not is_dicom(path) else "dicom"


def is_dicom(path: str | Path) -> bool:
    """Whether a regular file carries the DICOM mark after its preamble."""
    if no_regular_file(path) or os.path.isdir(path):
        return False
    try:
        with open(path, "rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def read_image(path: str | Path, spatial_dims: int | None = None) -> MetaTensor:
    """Read an image as stored: rows, columns (and slices), channels last where there are any.

    Args:
        path: image, NIfTI, NumPy or DICOM file, or the folder of a DICOM series.
        spatial_dims: 2 or 3: what is not that is refused.

    Raises:
        ValueError: when the file cannot be read, or holds what no network should see; it names the file.
        OptionalImportError: when the package that reads its kind is not installed.

    Returns:
        the array with MONAI's metadata, in its own number type.
    """
    for file in (path, *(Path(path).iterdir() if os.path.isdir(path) else ())):
        problem = no_regular_file(file)
        # MONAI passes over what has no mark, and a slice that is not there leaves no gap.
        if not problem and file is not path and str(file).lower().endswith(DICOM_SUFFIXES) and not is_dicom(file):
            problem = "is named like a DICOM slice and is none: remove it"
        if problem:
            raise ValueError(f"{str(file)!r} {problem}")
    kind = file_kind(path)
    try:
        if kind == "numpy":
            check_sizes(path)
        elif kind == "nifti":
            nifti_header(path)
        with warnings.catch_warnings():
            # Plain X-rays have no position in space; MONAI warns about it on every read.
            warnings.filterwarnings("ignore", message="PydicomReader: ImageOrientationPatient", category=UserWarning)
            reader = _reader(kind)
            array, meta = reader.get_data(reader.read(str(path)))
        # Torch knows native byte order only, and does not like memory it may not write to.
        array = np.array(array, dtype=array.dtype.newbyteorder("="))
        if array.dtype.kind not in "biuf":
            raise ValueError(f"it holds {array.dtype} instead of numbers")
        meta["filename_or_obj"] = str(path)
        image = MetaTensor.ensure_torch_and_prune_meta(array, meta)
    except ImportError:
        raise
    except Exception as error:  # readers raise nearly everything on broken files, struct.error and EOFError included
        raise ValueError(f"{str(path)!r} cannot be read ({reason(error)})") from None
    if not all_finite(array):
        raise ValueError(f"{str(path)!r} holds values that are not finite (NaN or infinite): replace or remove them")
    if not array.size:
        raise ValueError(f"{str(path)!r} has no pixels")
    if spatial_dims is not None:
        frames = getattr(reader, "frames", 1)
        if spatial_dims == 2 and frames > 1:
            raise ValueError(
                f"{str(path)!r} holds {frames} frames and a 2-D image is one: spatial_dims=3 reads volumes"
            )
        if spatial_dims == 3 and kind == "image":
            raise ValueError(f"{str(path)!r} is a 2-D picture: volumes are NIfTI, DICOM or NumPy files")
        channel_axis(array.shape, spatial_dims, repr(str(path)))
    return image


def _reader(kind: str) -> Any:
    # No LoadImage around it: that tries further readers on a broken file, and turns 8 bits into floats.
    # A new one for each file: MONAI's DICOM reader keeps state between its two calls, and caches load in threads.
    if kind == "image":
        # MONAI's PIL reader puts columns before rows; pretrained networks saw rows first.
        return PILReader(converter=_plain_mode, reverse_indexing=False)
    if kind == "dicom":
        return _DicomReader(swap_ij=False)
    return NibabelReader() if kind == "nifti" else NumpyReader()


def _plain_mode(image: Any) -> Any:
    """Turn any PIL image into grey, RGB, 16/32-bit integer or float, upright."""
    ops, _ = optional_import("PIL.ImageOps")
    frame_format = image.format
    image = ops.exif_transpose(image)
    plain = {"1": "L", "LA": "L", "La": "L", "I;16B": "I", "I;16L": "I;16", "I;16N": "I;16"}
    if image.mode not in ("L", "RGB", "I", "I;16", "F"):
        image = image.convert(plain.get(image.mode, "RGB"))  # RGB: palette, alpha, CMYK, YCbCr, …
    image.load()  # decodes now and closes the file
    image.format = frame_format
    return image


class _DicomReader(PydicomReader):
    """MONAI's reader, with X-rays the right way round: MONOCHROME1 stores bone as dark.

    Attributes:
        frames: of the file that was read last.
    """

    frames = 1
    _is_negative = False

    def get_data(self, data: Any) -> Any:
        array, meta = super().get_data(data)
        # A series as a whole: slices that were turned round each by its own range would not fit together.
        return (array.max() + array.min() - array if self._is_negative else array), meta

    def _combine_dicom_series(self, data: Any, filenames: Any) -> Any:
        slices = list(data)
        for one, name in zip(slices, filenames, strict=True):
            if not hasattr(one, "InstanceNumber"):  # MONAI warns and passes over it
                raise ValueError(f"slice {str(name)!r} has no InstanceNumber, which says where it belongs")
        return super()._combine_dicom_series(slices, filenames)

    def _get_array_data(self, img: Any, filename: Any) -> Any:
        interpretation = str(getattr(img, "PhotometricInterpretation", ""))
        if interpretation == "PALETTE COLOR":
            raise ValueError("DICOM with PALETTE COLOR is not supported, convert it to RGB first")
        self.frames = int(getattr(img, "NumberOfFrames", None) or 1)
        self._is_negative = interpretation == "MONOCHROME1"
        return super()._get_array_data(img, filename)


def check_file(path: str | Path, full: bool = False, spatial_dims: int | None = None) -> str | None:
    """Say what is wrong with an image file.

    Args:
        full: decode it whole. Otherwise header and end are looked at, and the checksums of PNG; only a file that looks
            cut off is decoded, one of a kind that has no such marks, and one of floats, which may hold NaN.
        spatial_dims: 2 or 3: what is not that is wrong. None takes both.

    Returns:
        None if it is fine, otherwise the end of a sentence that starts with the file's name.
    """
    path, name = Path(path), repr(str(path))
    problem = no_regular_file(path)
    if problem:
        return problem
    if path.is_file() and path.stat().st_size == 0:
        return "is empty (zero bytes)"
    try:
        if full and path.name.lower().endswith(".gz"):
            _read_to_the_end(path)
        shape = None if full else _LOOK[file_kind(path)](path)
        if shape is None:
            read_image(path, spatial_dims)
        elif spatial_dims is not None:
            channel_axis(shape, spatial_dims, name)
    except Exception as error:  # readers raise nearly everything on broken files, struct.error and EOFError included
        said = str(error)
        return said[len(name) + 1 :] if said.startswith(name) else f"cannot be read ({reason(error)})"
    return None


def _read_to_the_end(path: Path) -> None:
    """Compare the checksum of a gzip file, which nibabel does not: it stops where the voxels end."""
    with gzip.open(path) as file:
        while file.read(2**20):
            pass


def _picture(path: Path) -> Sequence[int] | None:
    pil_image, _ = optional_import("PIL.Image")
    with pil_image.open(path) as image:
        kind, shape = image.format, (image.height, image.width)
        if kind == "PNG":
            image.verify()  # compares the checksums of all parts, which is much faster than to decode
    with open(path, "rb") as file:
        file.seek(-min(64, path.stat().st_size), os.SEEK_END)
        end = file.read().rstrip(b"\x00\r\n")
    return shape if kind in _ENDINGS and end.endswith(_ENDINGS[kind]) else None


def _nifti(path: Path) -> Sequence[int] | None:
    image = nifti_header(path)
    expected = int(image.dataobj.offset) + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    size = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        # gzip keeps the unpacked length in its last four bytes; in a truncated file they are something else.
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            size, expected = int.from_bytes(file.read(4), "little"), expected % 2**32
        complete = size == expected
    else:
        complete = size >= expected
    return image.shape if complete and image.get_data_dtype().kind in "iu" else None


def _numpy(path: Path) -> Sequence[int] | None:
    check_sizes(path)
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.shape if not hasattr(array, "files") and array.dtype.kind in "biu" else None


_LOOK: dict[str, Callable[[Path], Sequence[int] | None]] = {
    "image": _picture,
    "nifti": _nifti,
    "numpy": _numpy,
    "dicom": lambda _: None,  # a DICOM file is read whole in any case
}
"""The shape of an image that looks whole; None for one that must be decoded."""
