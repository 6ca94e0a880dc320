# SPDX-License-Identifier: Apache-2.0

"""Size, channels, number type and range of values of images, and of many of them in a few lines."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from monai_ept.data.image_file import channel_axis, nifti_header
from monai_ept.data.image_transforms import LoadRecordd
from monai_ept.data.read_image import file_kind
from monai_ept.data.records import Record

__all__ = ["ImageFacts", "describe_images", "facts_of"]


class ImageFacts(NamedTuple):
    """What one image is; without ``values`` where it was not decoded."""

    id: str
    size: tuple[int, ...]  # rows, columns, and slices of a volume
    channels: int
    number: str  # such as "uint8"
    values: tuple[float, float] | None = None


def facts_of(records: Sequence[Record], spatial_dims: int = 2, *, decode: bool = False) -> list[ImageFacts]:
    """
    Look at images. One that cannot be read is left out: whoever loads it says so.

    Args:
        decode: read each whole, for the range of its values. Otherwise headers are enough, and what only decoding
            would tell of, DICOM, is left out.
    """

    def look(record: Record) -> ImageFacts | None:
        try:
            return (_decoded if decode else _header)(record, spatial_dims)
        except (OSError, ValueError):
            return None

    with ThreadPoolExecutor(8) as pool:  # decoding releases the interpreter lock
        return [facts for facts in pool.map(look, records) if facts is not None]


def describe_images(facts: Sequence[ImageFacts]) -> list[tuple[str, str]]:
    """
    Lines, each with a name, on sizes, channels and values; on values only where images were decoded.

    Example::

        >>> describe_images([ImageFacts("a", (40, 48), 3, "uint8"), ImageFacts("b", (44, 48), 3, "uint8")])
        [('size', '40 × 48 to 44 × 48, median 42 × 48'), ('channels', '3'), ('numbers', 'uint8')]
    """
    if not facts:
        return []
    lines = [("size", _about_sizes([one.size for one in facts]))]
    lines.append(("channels", _each(str(one.channels) for one in facts)))
    ranges: dict[str, list[tuple[float, float]]] = {}
    for one in facts:
        if one.values is not None:
            ranges.setdefault(one.number, []).append(one.values)
    if not ranges:
        return [*lines, ("numbers", _each(one.number for one in facts))]
    for number, values in sorted(ranges.items()):
        low, high = min(low for low, _ in values), max(high for _, high in values)
        many = f" in {len(values):,} images" if len(ranges) > 1 else ""
        lines.append(("values", f"{low:,.6g} to {high:,.6g}{many} ({number})"))
    flat = [one.id for one in facts if one.values is not None and one.values[0] == one.values[1]]
    if flat:
        lines.append(("blank", f"{len(flat):,} images have one value everywhere, such as {flat[0]}"))
    return lines


def _about_sizes(sizes: Sequence[tuple[int, ...]]) -> str:
    few, most = min(sizes), max(sizes)
    if few == most:
        return _times(few)
    median = [int(statistics.median(axis)) for axis in zip(*sizes, strict=True)]
    return f"{_times(few)} to {_times(most)}, median {_times(median)}"


def _times(size: Iterable[int]) -> str:
    return " × ".join(map(str, size))


def _each(values: Iterable[str]) -> str:
    """The values, and in how many images each is where there are several."""
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} in {count:,} images" for value, count in sorted(counts.items()))


def _header(record: Record, spatial_dims: int) -> ImageFacts | None:
    image, number = record["image"], "uint8"
    if not isinstance(image, (str, Path)):
        shape, number = tuple(image.shape), str(image.dtype).removeprefix("torch.")
    elif file_kind(image) == "nifti":
        header = nifti_header(image)
        shape, number = tuple(header.shape), str(header.get_data_dtype())
    elif file_kind(image) == "image":
        from PIL import Image

        with Image.open(image) as picture:
            bands = 3 if picture.mode == "P" else len(picture.getbands())
            shape = (picture.height, picture.width, *([bands] if bands > 1 else []))
            number = {"I;16": "int32", "I": "int32", "F": "float32"}.get(picture.mode, number)  # as they are read
    else:
        return None
    axis = channel_axis(shape, spatial_dims, record["id"])
    if axis is None:
        return ImageFacts(record["id"], shape, 1, number)
    return ImageFacts(record["id"], shape[:-1] if axis == -1 else shape[1:], shape[axis], number)


def _decoded(record: Record, spatial_dims: int) -> ImageFacts:
    image = LoadRecordd("image", spatial_dims).convert(record["image"], record["id"])
    number = str(image.dtype).removeprefix("torch.")
    return ImageFacts(
        record["id"], tuple(image.shape[1:]), image.shape[0], number, (float(image.min()), float(image.max()))
    )
