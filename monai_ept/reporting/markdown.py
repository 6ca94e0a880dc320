# SPDX-License-Identifier: Apache-2.0

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
