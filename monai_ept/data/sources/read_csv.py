# SPDX-License-Identifier: Apache-2.0

"""Reads comma-separated tables with line numbers, so that every complaint can name its line."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from monai_ept.data.records import DataError

__all__ = ["SPLIT_NAMES", "Row", "read_table"]

Row = tuple[str, dict[str, str]]  # ("labels.csv:12", cells by column)

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def read_table(
    path: str | Path, columns: Iterable[str] = (), delimiter: str | None = None
) -> tuple[list[Row], list[str]]:
    """Read a table with a header line.

    Args:
        path: the file, UTF-8, with or without byte order mark.
        columns: columns that must be there.
        delimiter: what separates cells; None: the first of tab, semicolon and comma that the header contains.

    Raises:
        DataError: when the file is missing, not text, empty, or lacks a column.

    Returns:
        the rows, each with its place, and the problems of lines that had to be skipped.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(str(path), ["the file does not exist"]) from None
    except UnicodeDecodeError as error:
        raise DataError(str(path), [f"the file is not UTF-8 text ({error.reason} at byte {error.start})"]) from None
    lines = text.splitlines(keepends=True)
    header_line = lines[0] if lines else ""
    if not header_line.strip():
        raise DataError(str(path), ["the file has no header line"])
    if delimiter is None:
        delimiter = next((mark for mark in "\t;" if mark in header_line), ",")
    reader = csv.reader(lines, delimiter=delimiter)
    header = [name.strip() for name in next(reader)]
    missing = [column for column in columns if column not in header]
    if missing:
        have = ", ".join(repr(name) for name in header)
        raise DataError(str(path), [f"there is no column {column!r}; the columns are {have}" for column in missing])

    rows: list[Row] = []
    problems = []
    for cells in reader:
        place = f"{path.name}:{reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"{place}: the line has {len(cells)} cells, the header has {len(header)}")
            continue
        rows.append((place, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}))
    return rows, problems
