# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["by_number", "markdown_table"]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """
    Rows of text, the first of them the head, as a Markdown table that is as readable in a terminal.

    Example::

        >>> print(markdown_table([["method", "auc"], ["ept", "0.81"]]))
        | method | auc  |
        |--------|------|
        | ept    | 0.81 |
    """
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*escaped, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in escaped]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def by_number(text: str) -> tuple[float, str]:
    """A key that sorts numbers by their value, and other text after them."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
