# SPDX-License-Identifier: Apache-2.0

"""DICOM images and series, in class folders or listed in a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.utils import optional_import

from monai_ept.data.check_records import validate_records
from monai_ept.data.read_image import DICOM_SUFFIXES, is_dicom
from monai_ept.data.records import RecordSet
from monai_ept.data.sources.csv_file import csv_file
from monai_ept.data.sources.folder import collect

__all__ = ["dicom"]


def dicom(
    dataset_dir: str | Path,
    csv: str | Path | None = None,
    *,
    spatial_dims: int = 2,
    group_tag: str | None = "PatientID",
    group_pattern: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    check_images: str = "quick",
    **csv_options: Any,
) -> RecordSet:
    """Read DICOM images; MONAI reads them through pydicom (``pip install monai_ept[dicom]``).

    In class folders a 2-D record is a file, and a 3-D record is a folder of slices or a file of several frames.
    Patients are groups without further ado, as the files say whose they are.

    Args:
        dataset_dir: the data folder.
        csv: a table, see :py:func:`csv_file`; None: class folders.
        spatial_dims: 2 for images, 3 for volumes.
        group_tag: DICOM tag that names the group; an image without it is a group of its own. None switches it off,
            a table with a group column goes first.
        group_pattern: take the group from the path instead, see :py:func:`folder`.
        class_names: names in label order.
        name: name of the data set.
        check_images: "quick", "full" or "none"; DICOM files are read whole for both of the first.
        csv_options: more options of :py:func:`csv_file`.

    Raises:
        OptionalImportError: when pydicom is not installed.
        DataError: listing every problem.

    Returns:
        the validated records.
    """
    pydicom, _ = optional_import("pydicom")
    pydicom.dcmread  # noqa: B018 - raises here, with the name of the package, if it is missing

    if csv is not None:
        csv_options.update(spatial_dims=spatial_dims, class_names=class_names, name=name, check_images=check_images)
        return _group_by_tag(csv_file(dataset_dir, csv, **csv_options), group_tag)
    if csv_options:
        raise TypeError(f"{', '.join(csv_options)} can only be used together with csv.")
    images = _files if spatial_dims == 2 else _series
    data, problems = collect(dataset_dir, images, group_pattern, class_names, spatial_dims, name)
    data = validate_records(data, root=dataset_dir, problems=problems, check_images=check_images)
    return data if group_pattern else _group_by_tag(data, group_tag)


def _files(_: Path, files: Sequence[Path]) -> list[Path]:
    return [path for path in sorted(files) if _looks_like_dicom(path)]


def _series(class_dir: Path, below: Sequence[Path]) -> list[Path]:
    """Files that lie in the class folder itself, and every folder below it that has DICOM files."""
    files = _files(class_dir, below)
    folders = sorted({path.parent for path in files} - {class_dir})
    return sorted([path for path in files if path.parent == class_dir] + folders)


def _looks_like_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    return path.name.lower().endswith(DICOM_SUFFIXES) or is_dicom(path)


def _group_by_tag(data: RecordSet, tag: str | None) -> RecordSet:
    """Records whose group is their own id get the group that their file names."""
    if tag is None:
        return data
    pydicom, _ = optional_import("pydicom")

    def read(path: str) -> str:
        file = path if os.path.isfile(path) else _files(Path(path), list(Path(path).iterdir()))[0]
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[tag])
        return str(getattr(header, tag, "") or "").strip()

    own = [record for record in data.records if record["group"] == record["id"]]
    with ThreadPoolExecutor(max_workers=8) as pool:
        groups = dict(zip((r["id"] for r in own), pool.map(read, (r["image"] for r in own)), strict=True))
    records = [{**record, "group": groups.get(record["id"]) or record["group"]} for record in data.records]
    return replace(data, records=records)
