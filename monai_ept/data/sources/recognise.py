# SPDX-License-Identifier: Apache-2.0

"""Which source reads a folder, by what lies in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from monai_ept.data.find_files import FindFiles
from monai_ept.data.read_image import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES, is_dicom
from monai_ept.data.records import DataError
from monai_ept.data.sources.class_folders import no_classes
from monai_ept.data.sources.csv_file import SPLIT_NAMES, folder_of_images, read_table
from monai_ept.data.sources.isic2018 import find_isic2018
from monai_ept.data.sources.medfmc import MEDFMC_TASKS, read_list

__all__ = ["Recognised", "recognise"]

_TABLES = (".csv", ".tsv")
_LABELS = ("label", "labels", "class", "diagnosis", "dx", "target", "category", "finding", "disease", "grade")
_GROUPS = ("group", "patient", "patient_id", "patientid", "subject", "subject_id", "lesion_id", "study", "study_id")
_LOOKED_AT = 2000  # files: enough to see of what kind they are


@dataclass(frozen=True)
class Recognised:
    """How a folder is read.

    Args:
        source: name of the source.
        dataset_dir: the folder that it takes.
        why: what it was recognised by, as the end of a sentence.
        options: options that it needs.
    """

    source: str
    dataset_dir: Path
    why: str
    options: dict[str, Any] = field(default_factory=dict)


def recognise(dataset_dir: str | Path) -> Recognised:
    """
    Say which of our sources reads a folder, or a file: ISIC 2018, MedFMC, MedMNIST, a table, or class folders.

    Args:
        dataset_dir: the folder; a table or an npz file also by itself.

    Raises:
        DataError: when it is nothing that a source reads, with what to do.

    Example::

        >>> recognise("my_images")
        Recognised(source='folder', dataset_dir=PosixPath('my_images'), why='its 2 folders are taken for classes, …', …)
    """
    path = Path(dataset_dir).expanduser()
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return Recognised("medmnist", path, "it is an npz file")
        if path.suffix.lower() in _TABLES:
            return _by_table(path)
        raise DataError(str(path), ["it is neither a folder nor a table (csv, tsv) nor an npz file"])
    if not path.is_dir():
        raise DataError(str(path), ["the folder does not exist"])
    found = _published(path)
    if found is not None:
        return found
    inside = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    packed = [entry for entry in inside if entry.suffix.lower() == ".npz"]
    if packed:
        more = {"file": packed[0].name} if len(packed) > 1 else {}
        choice = f", the first of {len(packed)}; --option file=NAME takes another" if more else ""
        return Recognised("medmnist", path, f"{packed[0].name} is an npz file{choice}", more)
    folders = [entry for entry in inside if entry.is_dir()]
    tables = [entry for entry in inside if entry.suffix.lower() in _TABLES and entry.is_file()]
    if tables:
        first, *others = sorted(tables, key=lambda table: ("label" not in table.name, "train" not in table.name))
        try:
            return _by_table(first, others)
        except DataError:
            if len(folders) < 2 or no_classes([entry.name for entry in folders]):
                raise
    if not folders:
        raise DataError(
            str(path),
            [
                "nothing here says which class an image is of: put the images of each class into a folder of its own, "
                "or beside a table (labels.csv) that names images and labels"
            ],
        )
    if len(folders) == 1 and any(entry.is_dir() for entry in folders[0].iterdir()):
        return recognise(folders[0])
    kind, more = _kind(path)
    parts = all(entry.name.lower() in SPLIT_NAMES for entry in folders)
    what = "its folders are parts of a split" if parts else f"its {len(folders)} folders are taken for classes"
    return Recognised(kind, path, f"{what}, and no table names labels", more)


def _published(path: Path) -> Recognised | None:
    """ISIC 2018 and MedFMC, by the names of their files."""
    table = find_isic2018(path)
    if table is not None:
        return Recognised("isic2018", path, f"{table.relative_to(path)} is here")
    for folder in (path, *(path / below / task for below in ("", "medfmc_lists") for task in MEDFMC_TASKS)):
        if not (folder / "trainval.txt").is_file():
            continue
        labels = {len(values or ()) for _, _, values in read_list(folder / "trainval.txt")[0]}
        kinds = {1: "colon", len(MEDFMC_TASKS["endo"].class_names): "endo"}
        task = kinds.get(max(labels, default=0), "chest")
        where = (folder / "trainval.txt").relative_to(path)
        return Recognised(f"medfmc_{task}", path, f"{where} is a list of MedFMC with the labels of its task {task}")
    return None


def _by_table(table: Path, others: Sequence[Path] = ()) -> Recognised:
    """A table of images: which of its columns is what."""
    root = table.parent
    rows = [cells for _, cells in read_table(table)[0][:_LOOKED_AT]]
    if not rows:
        raise DataError(str(table), ["the table has no line below its header"])
    columns = list(rows[0])
    options: dict[str, Any] = {} if table.name == "labels.csv" else {"csv": table.name}
    image, folder = _image_column(root, rows)
    if image is None:
        raise DataError(
            str(table),
            [f"none of its columns ({', '.join(columns)}) names images that lie in {str(root)!r} or below it"],
        )
    options.update({"image": image} if image != "image" else {})
    options.update({"image_dir": folder} if folder else {})
    rest = [column for column in columns if column != image]
    label = next((column for name in _LABELS for column in rest if column.lower() == name), None)
    marks = [column for column in rest if {row[column] for row in rows} == {"0", "1"}]
    if label is not None:
        options.update({"label": label} if label != "label" else {})
    elif len(marks) > 1:
        options["label"] = marks
        if all(sum(row[column] == "1" for column in marks) == 1 for row in rows):
            options["task"] = "multiclass"
    else:
        raise DataError(
            str(table),
            [f"which column is the label? Name one of {', '.join(rest)}: --source csv --option label=COLUMN"],
        )
    group = next((column for name in _GROUPS for column in rest if column.lower() == name), None)
    options.update({"group": group} if group not in (None, "group") else {})
    kind = _kind(root)[0]
    source = "csv" if kind == "folder" else kind
    if source != "csv":
        options["csv"] = table.name
    more = f" (and {', '.join(other.name for other in others)} are not read)" if others else ""
    under = f" under {folder}/" if folder else ""
    return Recognised(source, root, f"{table.name} names images{under} in its column {image!r}{more}", options)


def _image_column(root: Path, rows: Sequence[dict[str, str]]) -> tuple[str | None, str]:
    """The column that names files, and the folder below ``root`` that they are in."""
    for column in sorted(rows[0], key=lambda name: name.lower() not in ("image", "file", "path", "filename")):
        names = [row[column] for row in rows if row[column]]
        named = len(set(names)) > len(names) // 2  # a column of few values names no images
        if named and (folder := folder_of_images(root, names)) is not None:
            return column, folder
    return None, ""


def _kind(root: Path) -> tuple[str, dict[str, Any]]:
    """The source that reads class folders with files such as these, and its options."""
    files = list(islice((path for path in FindFiles().below(root) if path.suffix not in _TABLES), _LOOKED_AT))
    counts: Counter[str] = Counter()
    for path in files:
        name = path.name.lower()
        if name.endswith(IMAGE_SUFFIXES):
            counts["folder"] += 1
        elif name.endswith(NIFTI_SUFFIXES):
            counts["nifti"] += 1
        elif name.endswith(DICOM_SUFFIXES) or is_dicom(path):
            counts["dicom"] += 1
    kind = counts.most_common(1)[0][0] if counts else "folder"
    return kind, {"spatial_dims": 3} if kind == "dicom" and _is_series(files) else {}


def _is_series(files: Sequence[Path]) -> bool:
    """Whether DICOM files lie in folders of slices: the first two of one folder are of one series."""
    first = next((path for path in files if is_dicom(path)), None)
    beside = [path for path in files if first is not None and path.parent == first.parent and is_dicom(path)]
    if len(beside) < 2:
        return False
    from monai.utils import optional_import

    pydicom, there = optional_import("pydicom")
    if not there:
        return False
    tags = [pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]) for path in beside[:2]]
    series = {str(getattr(header, "SeriesInstanceUID", path)) for header, path in zip(tags, beside[:2], strict=True)}
    return len(series) == 1
