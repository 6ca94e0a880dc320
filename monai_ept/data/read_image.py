# SPDX-License-Identifier: Apache-2.0

"""Reads one image file of any supported kind, and tells quickly whether a file is readable.

MONAI's readers do the reading. What is added here is what they leave open: which reader takes a file, palette, alpha
and 16-bit images, rows before columns, and inverted X-rays.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor, NibabelReader, NumpyReader, PILReader, PydicomReader
from monai.utils import optional_import

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
    """Whether a file carries the DICOM mark after its preamble."""
    try:
        with open(path, "rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def read_image(path: str | Path) -> MetaTensor:
    """Read an image as stored: rows, columns (and slices), channels last where there are any.

    Args:
        path: image, NIfTI, NumPy or DICOM file, or the folder of a DICOM series.

    Raises:
        OSError, ValueError: when the file cannot be read.

    Returns:
        the array with MONAI's metadata, in its own number type.
    """
    with warnings.catch_warnings():
        # Plain X-rays have no position in space; MONAI warns about it on every read.
        warnings.filterwarnings("ignore", message="PydicomReader: ImageOrientationPatient", category=UserWarning)
        reader = _reader(file_kind(path))
        array, meta = reader.get_data(reader.read(str(path)))
    # Torch knows native byte order only, and does not like memory it may not write to.
    array = np.array(array, dtype=array.dtype.newbyteorder("="))
    meta["filename_or_obj"] = str(path)
    return MetaTensor.ensure_torch_and_prune_meta(array, meta)


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
    """MONAI's reader, with X-rays the right way round: MONOCHROME1 stores bone as dark."""

    def _get_array_data(self, img: Any, filename: Any) -> Any:
        interpretation = str(getattr(img, "PhotometricInterpretation", ""))
        if interpretation == "PALETTE COLOR":
            raise ValueError(f"{filename}: DICOM with PALETTE COLOR is not supported, convert it to RGB first")
        array = super()._get_array_data(img, filename)
        return array.max() + array.min() - array if interpretation == "MONOCHROME1" else array


def check_file(path: str | Path, full: bool = False) -> str | None:
    """Say what is wrong with an image file.

    Args:
        path: the file, or the folder of a DICOM series.
        full: decode it whole; otherwise header and end are looked at, and only a suspicious file is decoded.

    Returns:
        None if it is fine, otherwise the end of a sentence that starts with the file's name.
    """
    path = Path(path)
    if not path.exists():
        return "does not exist"
    if path.is_file() and path.stat().st_size == 0:
        return "is empty (zero bytes)"
    try:
        looks_complete = {
            "image": _image_looks_complete,
            "nifti": _nifti_looks_complete,
            "numpy": _numpy_looks_complete,
            "dicom": lambda _: False,  # a DICOM file is read whole in any case
        }[file_kind(path)](path)
        if (full or not looks_complete) and not read_image(path).numel():
            return "has no pixels"
    except Exception as error:  # readers raise nearly everything on broken files, struct.error and EOFError included
        reason = str(error).strip().splitlines() or [""]
        return f"cannot be read ({type(error).__name__}: {reason[0][:200]})"
    return None


def _image_looks_complete(path: Path) -> bool:
    pil_image, _ = optional_import("PIL.Image")
    with pil_image.open(path) as image:
        ending = _ENDINGS.get(image.format)
    if ending is None:
        return False
    with open(path, "rb") as file:
        file.seek(-min(64, path.stat().st_size), 2)
        return file.read().rstrip(b"\x00\r\n").endswith(ending)


def _nifti_looks_complete(path: Path) -> bool:
    nibabel, _ = optional_import("nibabel")
    image = nibabel.load(path)
    expected = int(image.dataobj.offset) + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    if not path.name.endswith(".gz"):
        return path.stat().st_size >= expected
    # gzip keeps the unpacked length in its last four bytes; in a truncated file they are something else.
    with open(path, "rb") as file:
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little") == expected % 2**32


def _numpy_looks_complete(path: Path) -> bool:
    return not hasattr(np.load(path, mmap_mode="r", allow_pickle=False), "files")
