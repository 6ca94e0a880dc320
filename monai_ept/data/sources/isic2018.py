# SPDX-License-Identifier: Apache-2.0

"""ISIC 2018 task 3: dermoscopy, seven classes."""

from __future__ import annotations

import warnings
from pathlib import Path

from monai_ept.data.check_records import validate_records
from monai_ept.data.records import DataError, Record, RecordSet
from monai_ept.data.sources.csv_file import csv_file, read_table

__all__ = ["ISIC2018_CLASSES", "find_isic2018", "isic2018"]

ISIC2018_CLASSES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")

_PARTS = {"Training": "train", "Validation": "val", "Test": "test"}


def isic2018(dataset_dir: str | Path, *, check_images: str = "quick") -> RecordSet:
    """Read ISIC 2018 task 3, grouped by lesion.

    The layout is the official one, ``ISIC2018_Task3_Training_Input``, ``…_Training_GroundTruth``, and the same for
    Validation and Test as far as they are there; or ``labels.csv`` with the columns image, dx, split and lesion_id, and
    ``images/<image>.jpg``. Officially, lesion ids come from ``ISIC2018_Task3_Training_LesionGroupings.csv`` or
    ``HAM10000_metadata.csv``; an image without one (every test image) is a group of its own.

    Args:
        dataset_dir: the data folder.
        check_images: "quick", "full" or "none", see :py:func:`monai_ept.data.validate_records`.

    Raises:
        DataError: listing every problem.

    Returns:
        the validated records.
    """
    root = Path(dataset_dir)
    if (root / "labels.csv").exists():
        return csv_file(
            root,
            "labels.csv",
            label="dx",
            group="lesion_id",
            split="split",
            class_names=ISIC2018_CLASSES,
            image_dir="images",
            suffix=".jpg",
            name="isic2018",
            check_images=check_images,
        )
    if _find(root, "ISIC2018_Task3_Training_GroundTruth.csv") is None:
        problem = "there is neither labels.csv nor ISIC2018_Task3_Training_GroundTruth.csv in this folder"
        raise DataError(str(root), [problem])
    lesions = _lesions(root)
    if not lesions:
        warnings.warn(
            "isic2018: neither ISIC2018_Task3_Training_LesionGroupings.csv nor HAM10000_metadata.csv is there, so "
            "images of one lesion cannot be kept together.",
            stacklevel=2,
        )
    records: list[Record] = []
    places: list[str] = []
    problems: list[str] = []
    for part, split in _PARTS.items():
        table = _find(root, f"ISIC2018_Task3_{part}_GroundTruth.csv")
        if table is None:
            continue
        folder = _find(root, f"ISIC2018_Task3_{part}_Input")
        if folder is None:
            problems.append(f"{table.name} is there, but the folder ISIC2018_Task3_{part}_Input is not")
            continue
        if (folder / folder.name).is_dir():  # unpacked into a folder of the same name
            folder = folder / folder.name
        rows, skipped = read_table(table, ["image", *(name.upper() for name in ISIC2018_CLASSES)])
        problems += skipped
        for place, cells in rows:
            values = [cells[name.upper()] for name in ISIC2018_CLASSES]
            ones = [index for index, value in enumerate(values) if value in ("1", "1.0")]
            if len(ones) != 1 or any(value not in ("0", "0.0", "1", "1.0") for value in values):
                problems.append(f"{place}: exactly one of the seven classes must be 1 and the others 0, not {values}")
                continue
            image = cells["image"]
            path, group = str(folder / f"{image}.jpg"), lesions.get(image, image)
            records.append({"image": path, "label": ones[0], "group": group, "id": image, "split": split})
            places.append(place)
    data = RecordSet("isic2018", records, ISIC2018_CLASSES)
    return validate_records(data, root=root, where=places, problems=problems, check_images=check_images)


def find_isic2018(dataset_dir: Path) -> Path | None:
    """The table by which a folder is known to be ISIC 2018 task 3; None where it is none."""
    table = dataset_dir / "labels.csv"
    if table.is_file() and (dataset_dir / "images").is_dir():
        header = table.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip().split(",")
        if {"image", "dx", "split", "lesion_id"} <= {*header}:
            return table
    return _find(dataset_dir, "ISIC2018_Task3_Training_GroundTruth.csv")


def _find(root: Path, name: str) -> Path | None:
    """A file or folder by name, at the top, one folder down, or in one unpacked into its own name."""
    candidates = [root / name, *sorted(root.glob(f"*/{name}")), *sorted(root.glob(f"*/*/{name}"))]
    return next((path for path in candidates if path.exists()), None)


def _lesions(root: Path) -> dict[str, str]:
    """Lesion by image, from whichever of the two published files is there."""
    lesions: dict[str, str] = {}
    for name, image in (
        ("HAM10000_metadata", "image_id"),
        ("HAM10000_metadata.csv", "image_id"),
        ("ISIC2018_Task3_Training_LesionGroupings.csv", "image"),
    ):
        table = _find(root, name)
        if table is not None and table.is_file():
            rows, _ = read_table(table, [image, "lesion_id"])
            lesions.update({cells[image]: cells["lesion_id"] for _, cells in rows if cells["lesion_id"]})
    return lesions
