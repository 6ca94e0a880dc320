# SPDX-License-Identifier: Apache-2.0

"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from monai_ept.benchmark.report.contents import Report
from monai_ept.benchmark.report.sections import Item, Link, Section, how_to_read
from monai_ept.benchmark.report.table import Score, Table
from monai_ept.reporting.markdown import markdown_table
from monai_ept.reporting.numbers import difference, p_value, score

__all__ = ["score_table", "to_markdown"]


def to_markdown(report: Report, sections: Sequence[Section]) -> str:
    """The whole report; figures are linked from ``figures/``."""
    table = report.table
    parts = [f"# {report.sweep.name}: {table.metrics}", "\n".join(f"- {text}" for text in report.reading)]
    for backbone in table.backbones:
        parts.append(f"## {table.metrics.capitalize()}, {backbone}")
        parts.append(score_table(table, backbone))
    parts.append("\n\n".join(how_to_read(report)))
    for picture in report.pictures:
        parts += [f"## {picture.title}", f"![{picture.title}](figures/{picture.name}.png)", picture.caption]
    for section in sections:
        parts.append(f"## {section.title}")
        parts += section.text
        if section.code:
            parts.append(f"```yaml\n{section.code.rstrip()}\n```")
        if section.rows:
            parts.append(markdown_table([list(section.head), *([_text(item) for item in row] for row in section.rows)]))
    return "\n\n".join(parts) + "\n"


def score_table(table: Table, backbone: str, *, short: bool = False) -> str:
    """Methods by columns: score and difference to the reference with its adjusted p; short, only which way it goes."""
    columns = [column for column in table.columns if column.backbone == backbone]
    head = ["method", *(column.title for column in columns)]
    rows = [head]
    for label in table.labels:
        found = [table.scores.get((label, column)) for column in columns]
        if any(found):
            rows.append([label, *(_cell(one, short) for one in found)])
    return markdown_table(rows)


def _cell(found: Score | None, short: bool) -> str:
    if found is None:
        return ""
    text = f"**{score(found.score.interval)}**" if found.best else score(found.score.interval)
    if short:
        return f"{text} {('', '▲', '▼')[found.verdict]}".strip()
    gain = difference(found.difference)
    if not gain:
        return text
    p = "" if found.p_adjusted != found.p_adjusted else f", p {p_value(found.p_adjusted)}"
    return f"{text} ({gain}{p})"


def _text(item: Item) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, Link):
        return f"[{item.text}]({item.to})" if item.to else f"`{item.text}`"
    return ", ".join(map(_text, item))
