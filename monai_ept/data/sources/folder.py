# SPDX-License-Identifier: Apache-2.0

"""A folder for each class."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from monai_ept.data.check_records import too_few_classes, validate_records
from monai_ept.data.find_files import FindFiles
from monai_ept.data.read_image import IMAGE_SUFFIXES
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.sources.class_folders import images_and_masks
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

    def images(_: Path, files: Sequence[Path]) -> list[Path]:
        return [path for path in files if path.name.lower().endswith(tuple(suffixes))]

    data, problems = collect(dataset_dir, images, group_pattern, class_names, spatial_dims, name)
    return validate_records(data, root=dataset_dir, problems=problems, check_images=check_images)


def collect(
    dataset_dir: str | Path,
    images: Callable[[Path, Sequence[Path]], list[Path]],
    group_pattern: str | None,
    class_names: Sequence[str] | None,
    spatial_dims: int,
    name: str | None,
) -> tuple[RecordSet, list[str]]:
    """Records of class folders, not yet validated, and the problems found on the way.

    It is for sources that differ only in what counts as an image: ``images`` chooses from the files of a class folder.
    The other arguments are those of :py:func:`folder`.
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
    if class_names is None and images_and_masks(names):
        problems.append(
            f"the folders {', '.join(map(repr, names))} hold images and their masks, and are no classes: give "
            "each class a folder, or name the labels in a table (source csv)"
        )
    problems += too_few_classes(names)
    pattern = _compiled(group_pattern)

    records: list[Record] = []
    find = FindFiles()
    for part, class_dir in class_dirs:
        if class_dir.name not in names:
            problems.append(f"unknown class {class_dir.name!r} (folder {str(class_dir)!r})")
            continue
        files = find.below(class_dir)
        # A folder that was passed over is no loss, unless it was to be another class, or another part of a split.
        problems += [
            f"the folder {str(path)!r} is {str(first)!r} again, by a link, and no image can be in both: remove one"
            for path, first in find.again
            if class_dir not in (first, *first.parents)
        ]
        find.again.clear()
        for path in images(class_dir, files):
            identity = path.relative_to(root).as_posix()
            inner = path.relative_to(class_dir.parent).as_posix()
            match = pattern.search(inner) if pattern is not None else None
            if pattern is not None and (match is None or match.group(1) is None):
                problems.append(f"{str(path)!r}: group_pattern {group_pattern!r} does not match {inner!r}")
                continue
            label, group = names.index(class_dir.name), match.group(1) if match else identity
            record: Record = {"image": str(path), "label": label, "group": group, "id": identity}
            records.append({**record, "split": part} if part else record)
    data = RecordSet(name or root.name, records, tuple(names), "multiclass", spatial_dims)
    return data, problems + find.problems


def _compiled(group_pattern: str | None) -> re.Pattern[str] | None:
    if group_pattern is None:
        return None
    try:
        pattern = re.compile(group_pattern)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"group_pattern {group_pattern!r} is no regular expression ({error}).") from None
    if pattern.groups < 1:
        raise ValueError(f"group_pattern {group_pattern!r} has no group in parentheses to take the group's name from.")
    return pattern


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
