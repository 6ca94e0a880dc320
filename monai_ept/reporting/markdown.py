# SPDX-License-Identifier: Apache-2.0

"""Tables and whole reports as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monai_ept.reporting.page import Cell, Section, Table

__all__ = ["as_text", "by_number", "markdown_of", "markdown_table", "table_of"]


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


def markdown_of(
    title: str, about: Sequence[str], short: Sequence[str], sections: Sequence[Section], figures: str = "figures"
) -> str:
    """What ``build_page`` shows, as Markdown; ``figures`` is the folder with the pictures' PNGs, seen from the file."""
    parts = [f"# {as_text(title)}", as_text(" · ".join(about)), _bullets(short)]
    for section in sections:
        parts.append(as_text(f"## {section.title}{f', {section.small}' if section.small else ''}"))
        parts += [_bullets(section.sentences), *map(as_text, section.text)]
        if section.code:
            fence = max(["``", *re.findall("`+", section.code)], key=len) + "`"
            parts.append(f"{fence}yaml\n{section.code.rstrip()}\n{fence}")
        parts += map(table_of, section.tables)
        for picture in section.pictures:
            parts += [f"![{as_text(picture.title)}]({figures}/{picture.name}.png)", as_text(picture.caption)]
        parts += map(as_text, section.notes)
    return "\n\n".join(filter(None, parts)) + "\n"


def as_text(text: str) -> str:
    """
    Words of data, such as names, that stay words in Markdown: they begin no HTML, no link and no picture.

    Example::

        >>> as_text("<script> p < .05 ![x](y)")
        '&lt;script> p < .05 ![x]\\\\(y)'
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text).replace("](", "]\\(")


def table_of(table: Table) -> str:
    """A page's table as Markdown; names of groups stand before those of their columns."""
    head = list(map(as_text, table.head))
    if table.groups:
        names = [as_text(name) for name, count in table.groups for _ in range(count)]
        head[1:] = [f"{group}, {name}" for group, name in zip(names, head[1:], strict=True)]
    return markdown_table([head, *([_text(item) for item in row] for row in table.rows)])


def by_number(text: str) -> tuple[float, str]:
    """A key that sorts numbers by their value, and other text after them."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {as_text(sentence)}" for sentence in sentences)


def _text(item: str | Cell) -> str:
    if isinstance(item, str):
        return as_text(item)
    links = ", ".join(f"[{as_text(text)}]({to})" if to else f"`{as_text(text)}`" for text, to in item.links)
    text = " ".join(filter(None, (links, as_text(item.text), as_text(item.spread))))
    text = f"**{text}**" if item.bold else text
    return f"{text} ({as_text(', '.join(item.below))})" if item.below else text
