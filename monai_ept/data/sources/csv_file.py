# SPDX-License-Identifier: Apache-2.0

"""A table of images and labels; every complaint about one names its line."""

from __future__ import annotations

import csv as csv_module
import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_ept.checks import check_choice
from monai_ept.data.check_records import inside, too_few_classes, validate_records
from monai_ept.data.find_files import FindFiles
from monai_ept.data.image_file import no_regular_file
from monai_ept.data.read_image import IMAGE_SUFFIXES
from monai_ept.data.records import TASKS, DataError, Record, RecordSet, Task

__all__ = ["SPLIT_NAMES", "Row", "csv_file", "folder_of_images", "read_table", "read_text"]

Row = tuple[str, dict[str, str]]  # ("labels.csv:12", cells by column)

_NOT_THERE = ("nan", "na", "<na>", "n/a", "#n/a", "null")
"""What spreadsheets, R, pandas and databases write where there is no label."""

_OTHER_NAMES = {"train": ("training",), "val": ("valid", "validation", "dev"), "test": ("testing",)}
SPLIT_NAMES = {name: split for split, others in _OTHER_NAMES.items() for name in (split, *others)}


def csv_file(
    dataset_dir: str | Path,
    csv: str | Path = "labels.csv",
    *,
    image: str = "image",
    label: str | Sequence[str] = "label",
    group: str | None = None,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    task: Task | None = None,
    image_dir: str | Path = "",
    suffix: str = "",
    spatial_dims: int = 2,
    delimiter: str | None = None,
    name: str | None = None,
    check_images: str = "quick",
) -> RecordSet:
    """Read records from a table, one line an image.

    Labels are **one column** of class names or of numbers from 0 (multi-class), or **several columns** of 0/1, one a
    class: multi-label, unless ``task`` is "multiclass", when exactly one of them must be 1.

    Args:
        dataset_dir: the data folder; no image may lie outside of it.
        csv: the table, as a path or relative to ``dataset_dir``.
        image: column of the image paths.
        label: column of the labels, or list of 0/1 columns.
        group: column that names patient, study or lesion; default "group" if there is such a column. Without one, and
            where a cell is empty, an image is a group of its own.
        split: column with train, val or test, where empty means train; default "split" if there is such a column.
        class_names: names in label order; default: the label columns, or the names found, sorted.
        task: "multiclass" or "multilabel"; default see above.
        image_dir: folder of the images, relative to ``dataset_dir``.
        suffix: put behind every image path, e.g. ".jpg"; an image path without suffix also finds the usual ones.
        spatial_dims: 2 or 3.
        delimiter: what separates cells; None finds out.
        name: name of the data set; default the table's name.
        check_images: "quick", "full" or "none", see :py:func:`monai_ept.data.validate_records`.

    Raises:
        DataError: listing every problem, with its line.

    Returns:
        the validated records.

    Example::

        data = csv_file("my_data", "labels.csv", image="file", label="diagnosis", group="patient")
    """
    root = Path(dataset_dir)
    table = root / csv
    columns = [label] if isinstance(label, str) else list(label)
    if not columns:
        raise ValueError("label names no column: give one column of classes, or several of 0 and 1.")
    task = check_choice("task", task or ("multiclass" if len(columns) == 1 else "multilabel"), TASKS)
    needed = [image, *columns, *(column for column in (group, split) if column)]
    header, rows, problems = _read(table, needed, delimiter)
    group, split = group or "group", split or "split"
    problems += [
        f"{table.name}: column {name!r} is there {count} times: rename or remove all but one"
        for name, count in Counter(header).items()
        if count > 1 and name in (*needed, group, split)
    ]

    labels = _Labels([cells for _, cells in rows], columns, class_names, task)
    records: list[Record] = []
    places: list[str] = []
    for place, cells in rows:
        if not cells[image]:
            problems.append(f"{place}: column {image!r} is empty")
            continue
        try:
            value = labels.read(cells)
            part = _split_name(cells[split]) if split in cells else None
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        identity = cells[image]
        path, whose = str(_find(root / image_dir, identity + suffix)), cells.get(group) or identity
        record: Record = {"image": path, "label": value, "group": whose, "id": identity}
        records.append({**record, "split": part} if part else record)
        places.append(place)
    if check_images != "none":
        _look_elsewhere(table, root, image_dir, [(record["id"] + suffix, record["image"]) for record in records])
    if task == "multiclass":
        problems += too_few_classes(labels.class_names)
    data = RecordSet(name or table.stem, records, tuple(labels.class_names), task, spatial_dims)
    return validate_records(data, root=root, where=places, problems=problems, check_images=check_images)


def _look_elsewhere(table: Path, root: Path, image_dir: str | Path, images: Sequence[tuple[str, str]]) -> None:
    """Say in which folder the images lie, where that is not the one that was named."""
    missing = [name for name, path in images if not Path(path).exists()]
    if 2 * len(missing) <= len(images):
        return  # the table is right, and each of them is a problem of its own
    found = folder_of_images(root, missing)
    if found is not None:
        there = f"{len(missing)} of its {len(images)} images are not in {str(root / image_dir)!r}"
        raise DataError(str(table), [f"{there}, found under {found or '.'}/: image_dir={found!r}"])


def folder_of_images(root: Path, names: Sequence[str]) -> str | None:
    """
    The folder in which images lie, a data folder or one below it.

    Args:
        root: the data folder.
        names: as the table has them, with or without their suffix.

    Returns:
        the folder, relative to ``root`` and "" for itself, in which most of the first hundred are; None if half of
        them are nowhere.
    """
    by_name: dict[str, list[Path]] = {}
    for path in FindFiles().below(root):
        for key in {path.name, path.stem, path.name.removesuffix(".nii.gz")}:
            by_name.setdefault(key, []).append(path)
    counts: Counter[Path] = Counter()
    for name in names[:100]:
        *above, last = Path(name).parts
        folders = {path.parents[len(above)] for path in by_name.get(last, ()) if len(path.parents) > len(above)}
        counts.update(folder for folder in folders if inside(folder, root) and folder.joinpath(*above).is_dir())
    best = max(sorted(counts), key=lambda folder: counts[folder], default=None)
    if best is None or 2 * counts[best] <= len(names[:100]):
        return None
    return best.relative_to(root).as_posix() if best != root else ""


class _Labels:
    """Turns the label cells of a row into a label."""

    def __init__(
        self, rows: Sequence[dict[str, str]], columns: Sequence[str], class_names: Sequence[str] | None, task: Task
    ) -> None:
        self.columns, self.task = columns, task
        if len(columns) > 1:
            self.class_names = list(class_names or columns)
            if len(self.class_names) != len(columns):
                raise DataError("labels", [f"{len(columns)} label columns, but {len(self.class_names)} class names"])
            return
        values = [row[columns[0]] for row in rows if row[columns[0]]]
        numbers = [number for number in map(_whole, values) if number is not None]
        # A stray word among numbers is a mistake, and so is a stray number among words.
        self.numeric = 2 * len(numbers) > len(values)
        if class_names is not None:
            self.class_names = [str(name) for name in class_names]
        elif self.numeric:
            # No class may be empty, so a number as large as there are rows is a slip, not a class.
            largest = max((number for number in numbers if number < len(values)), default=-1)
            self.class_names = [str(number) for number in range(largest + 1)]
        else:
            self.class_names = sorted({value for value in values if value.lower() not in _NOT_THERE})

    def read(self, cells: dict[str, str]) -> int | list[int]:
        if len(self.columns) == 1:
            value = self._one(cells[self.columns[0]])
            return [int(value == 1)] if self.task == "multilabel" else value
        row = [_whole(cells[column]) for column in self.columns]
        bad = [column for column, value in zip(self.columns, row, strict=True) if value not in (0, 1)]
        if bad:
            raise ValueError(f"label {cells[bad[0]]!r} in column {bad[0]!r} is neither 0 nor 1")
        if self.task == "multilabel":
            return [int(value or 0) for value in row]
        if row.count(1) != 1:
            raise ValueError(f"{row.count(1)} of the columns {', '.join(self.columns)} are 1, exactly one must be")
        return row.index(1)

    def _one(self, text: str) -> int:
        if not text:
            raise ValueError(f"column {self.columns[0]!r} is empty")
        if text in self.class_names:
            return self.class_names.index(text)
        if text.lower() in _NOT_THERE:
            raise ValueError(f"label {text!r} says that there is none: fill it in, or name it in class_names")
        number = _whole(text)
        if self.numeric:
            if number is None:
                raise ValueError(f"label {text!r} is not a whole number")
            return number  # its range is checked with everything else
        close = difflib.get_close_matches(text, self.class_names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; the classes are {', '.join(self.class_names)}"
        raise ValueError(f"unknown class {text!r}{hint}")


def _whole(text: str) -> int | None:
    """A whole number, also when a spreadsheet wrote it as 1.0."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _split_name(text: str) -> str:
    if not text:
        return "train"  # all records of a set have the same keys, or they could not be collated into a batch
    if text.lower() not in SPLIT_NAMES:
        raise ValueError(f"split {text!r} is none of train, val, test")
    return SPLIT_NAMES[text.lower()]


def _find(folder: Path, name: str) -> Path:
    """The image's path; a name without its suffix is completed if such a file exists."""
    path = folder / name
    if not path.exists():
        for suffix in (*IMAGE_SUFFIXES, ".nii.gz", ".nii", ".dcm"):
            candidate = path.with_name(path.name + suffix)
            if candidate.exists():
                return candidate
    return path


def read_text(path: Path) -> str:
    """A text file, with or without byte order mark; a ``DataError`` if it is missing or not UTF-8."""
    problem = no_regular_file(path) or ("is a folder" if path.is_dir() else None)
    if problem:
        raise DataError(str(path), [f"the file {problem}"])
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(str(path), [f"the file cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError as error:
        raise DataError(str(path), [f"the file is not UTF-8 text ({error.reason} at byte {error.start})"]) from None


def read_table(
    path: str | Path, columns: Iterable[str] = (), delimiter: str | None = None
) -> tuple[list[Row], list[str]]:
    """Read a table with a header line.

    Args:
        path: the file, in UTF-8.
        columns: columns that must be there.
        delimiter: what separates cells; None: the first of tab, semicolon and comma that the header contains.

    Raises:
        DataError: when the file is missing, not text, empty, no table, or lacks a column.

    Returns:
        the rows, each with its place, and the problems of lines that had to be skipped.
    """
    return _read(Path(path), columns, delimiter)[1:]


def _read(path: Path, columns: Iterable[str], delimiter: str | None) -> tuple[list[str], list[Row], list[str]]:
    """A table's header, and what ``read_table`` returns."""
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
        raise ValueError(f"delimiter {delimiter!r} must be one character, such as ';'.")
    lines = read_text(path).splitlines(keepends=True)
    if not lines or not lines[0].strip():
        raise DataError(str(path), ["the file has no header line"])
    reader = csv_module.reader(lines, delimiter=delimiter or next((mark for mark in "\t;" if mark in lines[0]), ","))
    rows: list[Row] = []
    problems = []
    header: list[str] = []
    try:
        header += (name.strip() for name in next(reader))
        for cells in reader:
            place = f"{path.name}:{reader.line_num}"
            if len(cells) == len(header) and any(cell.strip() for cell in cells):
                rows.append((place, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}))
            elif any(cell.strip() for cell in cells):
                problems.append(f"{place}: the line has {len(cells)} cells, the header has {len(header)}")
    except csv_module.Error as error:  # a cell of many pages, such as a quotation mark that is never closed makes
        raise DataError(str(path), [f"line {reader.line_num} cannot be read as a table ({error})"]) from None
    missing = [column for column in columns if column not in header]
    if missing:
        have = ", ".join(repr(name) for name in header)
        raise DataError(str(path), [f"there is no column {column!r}; the columns are {have}" for column in missing])
    return header, rows, problems
