# SPDX-License-Identifier: Apache-2.0

"""Checks that run before anything trains: every problem is found in one pass and reported together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import optional_import

from monai_ept.checks import check_choice
from monai_ept.data.copies import exact_copies
from monai_ept.data.image_file import all_finite, channel_axis
from monai_ept.data.read_image import check_file
from monai_ept.data.records import DataError, Record, RecordSet, Task, positive_classes

__all__ = ["CHECK_LEVELS", "inside", "too_few_classes", "validate_records"]

CHECK_LEVELS = ("quick", "full", "none")

tqdm, _ = optional_import("tqdm", name="tqdm")


def inside(path: str | Path, root: str | Path) -> bool:
    """Whether a path stays inside a folder. ``..`` is resolved, symbolic links are the owner's own and are followed."""
    path, root = (Path(os.path.abspath(p)) for p in (path, root))
    return path == root or root in path.parents


def validate_records(
    data: RecordSet,
    *,
    root: str | Path | None = None,
    where: Sequence[str] | None = None,
    problems: Iterable[str] = (),
    check_images: str = "quick",
    allow_empty_classes: bool = False,
) -> RecordSet:
    """Check a whole data set and raise one error that lists everything wrong with it.

    Checked are: class names (repeated, or different in case only), required keys, repeated ids and files, labels
    (type, range, number), classes without an image, paths that leave ``root``, and the images themselves.

    Args:
        data: the records with their class names and task.
        root: folder that no image path may leave; None skips this check.
        where: for each record where it was read, e.g. "labels.csv:12"; default "record 12 (id 'x')".
        problems: what the caller found while reading; it heads the list.
        check_images: "quick" reads header and end of every file, compares the checksums of PNG, decodes what looks cut
            off or may hold NaN, and finds files that are there twice; "full" decodes every image, and finds copies that
            were saved anew without loss; "none" does not touch the files. A progress bar appears after three seconds.
        allow_empty_classes: accept classes without any image.

    Raises:
        DataError: when anything is wrong.

    Returns:
        ``data``, which now know their copies.
    """
    check_choice("check_images", check_images, CHECK_LEVELS)
    found = [*problems, *_class_name_problems(data.class_names)]
    places = list(where) if where is not None else [_place(n, record) for n, record in enumerate(data.records)]
    if not data.records and not found:
        found.append("there is not a single record")

    first_seen: dict[str, str] = {}
    first_path: dict[str, str] = {}
    positives = [0] * data.num_classes
    to_read: list[tuple[str, Any]] = []
    for record, place in zip(data.records, places, strict=True):
        missing = [repr(key) for key in ("image", "label", "group", "id") if key not in record]
        if missing:
            found.append(f"{place}: the record has no {' and no '.join(missing)}")
            continue
        not_text = [key for key in ("id", "group") if not isinstance(record[key], str)]
        if not_text:
            found.append(f"{place}: {' and '.join(not_text)} must be text")
            continue
        if not _is_utf8(record["id"]):
            found.append(f"{record['id']!a}: the name is not UTF-8 text, so no list can name it: rename the file")
            continue
        if record["id"] in first_seen:
            found.append(f"{place}: id {record['id']!r} is already used by {first_seen[record['id']]}")
        first_seen.setdefault(record["id"], place)

        label_problem = _label_problem(record["label"], data.num_classes, data.task)
        if label_problem:
            found.append(f"{place}: {label_problem}")
        else:
            for index in positive_classes(record["label"]):
                positives[index] += 1

        image = record["image"]
        if isinstance(image, (str, Path)):
            # One file under two ids would pass every later check and still be in training and test at once.
            path = os.path.abspath(image)
            if path in first_path and record["id"] != first_path[path]:
                found.append(f"{place}: {str(image)!r} is already the image of id {first_path[path]!r}")
                continue
            first_path.setdefault(path, record["id"])
            if root is not None and not inside(image, root):
                found.append(f"{place}: {str(image)!r} is outside the data folder {str(root)!r}")
                continue
        to_read.append((place, image))

    if not allow_empty_classes and data.records:
        counts = zip(data.class_names, positives, strict=True)
        found += [f"class {name!r} has no image" for name, count in counts if not count]
    if check_images != "none":
        found += _image_problems(to_read, check_images == "full", data.spatial_dims)
    if found:
        raise DataError(data.name, found)
    copies = exact_copies(data.records, pixels=check_images == "full") if check_images != "none" else []
    return replace(data, copies=copies)


def too_few_classes(class_names: Sequence[str]) -> list[str]:
    """What is wrong with a single class, for sources of data that have one label per image."""
    if len(class_names) != 1:
        return []
    return [f"there is only one class, {class_names[0]!r}: it takes two to tell images apart"]


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # what the system could not decode of a file's name
        return False
    return True


def _place(number: int, record: Record) -> str:
    return f"record {number} (id {record['id']!r})" if "id" in record else f"record {number}"


def _class_name_problems(names: Sequence[str]) -> list[str]:
    found = []
    seen: dict[str, str] = {}
    for name in names:
        folded = str(name).casefold()
        if folded not in seen:
            seen[folded] = name
        elif seen[folded] == name:
            found.append(f"class name {name!r} is used twice")
        else:
            found.append(f"class names {seen[folded]!r} and {name!r} differ in case only")
    return found


def _label_problem(label: Any, num_classes: int, task: Task) -> str | None:
    if task == "multilabel":
        if isinstance(label, (str, bytes)) or not isinstance(label, Sequence):
            return f"label {label!r} is not a list of 0/1"
        if len(label) != num_classes:
            return f"{len(label)} labels, but there are {num_classes} classes"
        bad = [value for value in label if not _is_int(value) or value not in (0, 1)]
        return f"label value {bad[0]!r} is neither 0 nor 1" if bad else None
    if not _is_int(label):
        return f"label {label!r} is not a whole number"
    if not 0 <= label < num_classes:
        return f"label {label} is out of range, there are {num_classes} classes (0 to {num_classes - 1})"
    return None


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _image_problems(items: Sequence[tuple[str, Any]], full: bool, spatial_dims: int) -> list[str]:
    def check(item: tuple[str, Any]) -> str | None:
        place, image = item
        if isinstance(image, (str, Path)):
            place, problem = f"{place}: {str(image)!r}", check_file(image, full, spatial_dims)
        else:
            place, problem = f"{place}:", _array_problem(image, spatial_dims)
        return f"{place} {problem}" if problem else None

    # Decoding releases the interpreter lock, so threads are enough; a few more than cores hide slow disks.
    with ThreadPoolExecutor(max_workers=min(16, 4 * (os.cpu_count() or 1))) as pool:
        results = tqdm(pool.map(check, items), total=len(items), desc="Checking images", delay=3.0)
        return [problem for problem in results if problem]


def _array_problem(image: Any, spatial_dims: int) -> str | None:
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        return f"image is a {type(image).__name__}, neither a path nor an array"
    if 0 in image.shape or len(image.shape) < 2:
        return f"image array of shape {tuple(image.shape)} is empty or has fewer than two dimensions"
    try:
        channel_axis(image.shape, spatial_dims, "image array")
    except ValueError as error:
        return str(error)
    if isinstance(image, np.ndarray) and not all_finite(image):
        return "image array holds values that are not finite"
    return None
