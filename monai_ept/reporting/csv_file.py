# SPDX-License-Identifier: Apache-2.0

"""Tables as CSV files."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from monai_ept.files import write_whole

__all__ = ["harmless_cell", "original_cell", "write_csv"]

_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n＝＋－＠]")  # what a spreadsheet takes for one, its wide letters included


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """
    Write a table, whole or not at all; the same rows give the same bytes.

    Args:
        rows: text as it is, numbers that are not whole with eight digits; what is not there, None or NaN, is empty.

    Raises:
        WriteError: when it cannot be written.

    Returns:
        the path.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_text(value) for value in row] for row in rows)
    return write_whole(path, buffer.getvalue())


def _text(value: Any) -> str:
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{value:.8g}"
    return str(value)


def harmless_cell(text: str) -> str:
    """
    Text that no spreadsheet takes for a formula: what would be one begins with an apostrophe, as OWASP advises.

    Example::

        >>> harmless_cell("=HYPERLINK(1)"), harmless_cell("a.png")
        ("'=HYPERLINK(1)", 'a.png')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def original_cell(text: str) -> str:
    """The text that ``harmless_cell`` made a cell of."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
