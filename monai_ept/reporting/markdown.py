# SPDX-License-Identifier: Apache-2.0

"""Tables and whole reports as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from monai_ept.reporting.page import Cell, Section, Table

__all__ = ["by_number", "markdown_of", "markdown_table", "table_of"]


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
    parts = [f"# {title}", " · ".join(about), _bullets(short)]
    for section in sections:
        parts.append(f"## {section.title}{f', {section.small}' if section.small else ''}")
        parts += [_bullets(section.sentences), *section.text]
        if section.code:
            parts.append(f"```yaml\n{section.code.rstrip()}\n```")
        parts += map(table_of, section.tables)
        for picture in section.pictures:
            parts += [f"![{picture.title}]({figures}/{picture.name}.png)", picture.caption]
        parts += section.notes
    return "\n\n".join(filter(None, parts)) + "\n"


def table_of(table: Table) -> str:
    """A page's table as Markdown; names of groups stand before those of their columns."""
    head = list(table.head)
    if table.groups:
        names = [name for name, count in table.groups for _ in range(count)]
        head[1:] = [f"{group}, {name}" for group, name in zip(names, head[1:], strict=True)]
    return markdown_table([head, *([_text(item) for item in row] for row in table.rows)])


def by_number(text: str) -> tuple[float, str]:
    """A key that sorts numbers by their value, and other text after them."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _text(item: str | Cell) -> str:
    if isinstance(item, str):
        return item
    links = ", ".join(f"[{text}]({to})" if to else f"`{text}`" for text, to in item.links)
    text = " ".join(filter(None, (links, item.text, item.spread)))
    text = f"**{text}**" if item.bold else text
    return f"{text} ({', '.join(item.below)})" if item.below else text
