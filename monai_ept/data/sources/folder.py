# SPDX-License-Identifier: Apache-2.0

"""A folder for each class."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from monai_ept.data.check_records import validate_records
from monai_ept.data.read_image import IMAGE_SUFFIXES
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.sources.csv_file import SPLIT_NAMES

__all__ = ["collect", "folder"]


def folder(
    dataset_dir: str | Path,
    *,
    group_pattern: str | None = None,
    class_names: Sequence[str] | None = None,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    spatial_dims: int = 2,
    name: str | None = None,
    check_images: str = "quick",
) -> RecordSet:
    """Read records from class folders: ``dataset_dir/<class>/…/<image>``.

    If the folders are named train, val and test, they are official splits and the class folders are in them.
    Files that are no images, and hidden ones, are passed over.

    Args:
        dataset_dir: the data folder.
        group_pattern: regular expression whose first group, searched in "<class>/…/<image>", names the patient or
            study, e.g. ``r"(patient\\d+)_"``; default: every image is a group of its own.
        class_names: names in label order; default: the folders, sorted.
        suffixes: which files are images.
        spatial_dims: 2 or 3.
        name: name of the data set; default the folder's name.
        check_images: "quick", "full" or "none", see :py:func:`monai_ept.data.validate_records`.

    Raises:
        DataError: listing every problem.

    Returns:
        the validated records.
    """

    def images(class_dir: Path) -> list[Path]:
        found = []
        for parent, dirs, files in os.walk(class_dir, followlinks=True):
            dirs[:] = sorted(entry for entry in dirs if not entry.startswith("."))
            names = sorted(entry for entry in files if entry.lower().endswith(tuple(suffixes)))
            found += [Path(parent, entry) for entry in names if not entry.startswith(".")]
        return found

    data, problems = collect(dataset_dir, images, group_pattern, class_names, spatial_dims, name)
    return validate_records(data, root=dataset_dir, problems=problems, check_images=check_images)


def collect(
    dataset_dir: str | Path,
    images: Callable[[Path], list[Path]],
    group_pattern: str | None,
    class_names: Sequence[str] | None,
    spatial_dims: int,
    name: str | None,
) -> tuple[RecordSet, list[str]]:
    """Records of class folders, not yet validated, and the problems found on the way.

    It is for sources that differ only in what counts as an image: ``images`` lists those of a class folder. The other
    arguments are those of :py:func:`folder`.
    """
    root = Path(dataset_dir)
    top = _folders(root)
    if not top:
        raise DataError(str(root), ["the folder does not exist or has no class folders in it"])
    problems: list[str] = []
    class_dirs: list[tuple[str | None, Path]] = [(None, entry) for entry in top]
    if all(entry.name.lower() in SPLIT_NAMES for entry in top):
        class_dirs = [(SPLIT_NAMES[part.name.lower()], entry) for part in top for entry in _folders(part)]
    names = list(class_names) if class_names is not None else sorted({entry.name for _, entry in class_dirs})
    pattern = re.compile(group_pattern) if group_pattern is not None else None
    if pattern is not None and pattern.groups < 1:
        raise ValueError(f"group_pattern {group_pattern!r} has no group in parentheses to take the group's name from.")

    records: list[Record] = []
    for part, class_dir in class_dirs:
        if class_dir.name not in names:
            problems.append(f"unknown class {class_dir.name!r} (folder {str(class_dir)!r})")
            continue
        for path in images(class_dir):
            identity = path.relative_to(root).as_posix()
            inner = path.relative_to(class_dir.parent).as_posix()
            match = pattern.search(inner) if pattern is not None else None
            if pattern is not None and match is None:
                problems.append(f"{str(path)!r}: group_pattern {group_pattern!r} does not match {inner!r}")
                continue
            label, group = names.index(class_dir.name), match.group(1) if match else identity
            record: Record = {"image": str(path), "label": label, "group": group, "id": identity}
            records.append({**record, "split": part} if part else record)
    return RecordSet(name or root.name, records, tuple(names), "multiclass", spatial_dims), problems


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
