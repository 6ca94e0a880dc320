# SPDX-License-Identifier: Apache-2.0

"""The report as one HTML page, with everything in it: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from monai_ept.benchmark.report.contents import Report
from monai_ept.benchmark.report.sections import Item, Link, Section, anchor, how_to_read
from monai_ept.benchmark.report.table import Column, Score
from monai_ept.reporting.numbers import difference, many, number, p_value

__all__ = ["to_html"]

MOST = 10
"""Columns of numbers beside each other; a wider table goes on below."""

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #222;
  background: #fff; max-width: 1150px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 27px; margin: 0 0 2px; }
h2, summary { font-size: 20px; font-weight: 600; margin: 38px 0 8px; }
h2 small { font-weight: normal; color: #666; }
summary { cursor: pointer; }
p { margin: 6px 0; }
.sub { color: #666; margin-bottom: 16px; }
.reading { background: #f3f6f9; border-left: 4px solid #0072B2; padding: 10px 18px 10px 8px; }
.reading ul { margin: 0; padding-left: 22px; }
.reading li { margin: 4px 0; }
.how, figcaption { color: #555; font-size: 13.5px; max-width: 100ch; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; margin: 10px 0; }
th, td { padding: 4px 10px; text-align: left; vertical-align: top; border-bottom: 1px solid #e6e6e6; }
th { font-weight: 600; border-bottom: 1.5px solid #999; }
td.n, th.n { text-align: right; white-space: nowrap; }
.scores { font-size: 13.5px; }
.scores th, .scores td { padding: 5px 6px; line-height: 1.3; white-space: nowrap; }
.scores tbody th { border-bottom: 1px solid #e6e6e6; white-space: normal; min-width: 88px; }
.scores th.g { text-align: center; border-bottom: 1px solid #bbb; }
.scores .s { border-left: 1.5px solid #bbb; }
.scores small { color: #555; font-size: 11.5px; display: block; }
.scores a { color: inherit; text-decoration: none; }
.scores a:hover { text-decoration: underline; }
.reference { background: #f4f4f4; }
.ahead { background: #d6e8f5; }
.behind { background: #fbe0d0; }
.ahead small, .behind small { color: #222; }
.pm { color: #666; }
figure { margin: 10px 0 0; }
figure img { max-width: 100%; height: auto; display: block; }
pre { background: #f6f6f6; padding: 10px 14px; overflow-x: auto; }
pre, .id { font: 12.5px/1.4 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
.id { white-space: nowrap; margin-right: 12px; display: inline-block; }
:target { background: #fff3c4; }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def to_html(report: Report, sections: Sequence[Section]) -> str:
    """The whole page."""
    table = report.table
    sweep = report.sweep
    counts = f"{len(sweep.finished)} of {len(sweep.cells)} cells finished"
    about = [
        f"{escape(table.metrics)}",
        many(table.repeats, table.unit),
        escape(", ".join(table.backbones)),
        counts,
        *([f"compared with {escape(table.reference)}"] if table.reference else []),
    ]
    parts = [f"<h1>{escape(sweep.name)}</h1>", f'<p class="sub">{" · ".join(about)}</p>']
    items = "".join(f"<li>{escape(text)}</li>" for text in report.reading)
    parts.append(f'<section class="reading"><ul>{items}</ul></section>')
    for backbone in table.backbones:
        parts.append(f"<h2>{escape(table.metrics.capitalize())} <small>{escape(backbone)}</small></h2>")
        parts += [_scores(report, columns) for columns in _chunks(table.columns, backbone)]
    parts.append('<div class="how">' + "".join(f"<p>{escape(text)}</p>" for text in how_to_read(report)) + "</div>")
    for picture in report.pictures:
        title = escape(picture.title)
        parts.append(
            f'<h2>{title}</h2><figure><img alt="{title}" src="{picture.source}">'
            f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        )
    parts += [_section(section) for section in sections]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(sweep.name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _chunks(columns: Sequence[Column], backbone: str) -> list[list[Column]]:
    """Columns that fit beside each other; those of one data set stay together."""
    chunks: list[list[Column]] = []
    blocks: dict[str | None, list[Column]] = {}
    for column in columns:
        if column.backbone == backbone:
            blocks.setdefault(column.source, []).append(column)
    for block in blocks.values():
        if chunks and len(chunks[-1]) + len(block) <= MOST:
            chunks[-1] += block
        else:
            chunks.append(list(block))
    return chunks


def _scores(report: Report, columns: Sequence[Column]) -> str:
    table = report.table
    starts = [i for i, column in enumerate(columns) if i == 0 or column.source != columns[i - 1].source]
    upper = ""
    for i, start in enumerate(starts):
        end = starts[i + 1] if i + 1 < len(starts) else len(columns)
        name = (
            columns[start].source or "mean over all data"
            if len(table.metric_of) > 1
            else columns[start].source or "mean"
        )
        upper += f'<th class="g s" colspan="{end - start}">{escape(name)}</th>'
    lower = ""
    for i, column in enumerate(columns):
        shots = f"{escape(column.shots)}-shot" if column.shots else "all shots"
        lower += f'<th class="{"s" if i in starts else ""}">{shots}</th>'
    rows = []
    for label in table.labels:
        found = [table.scores.get((label, column)) for column in columns]
        if any(found):
            kind = ' class="reference"' if label == table.reference else ""
            cells = "".join(_score(report, one, i in starts) for i, one in enumerate(found))
            rows.append(f"<tr{kind}><th>{escape(label)}</th>{cells}</tr>")
    return (
        '<div class="wide"><table class="scores">'
        f'<thead><tr><th rowspan="2">method</th>{upper}</tr><tr>{lower}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _score(report: Report, found: Score | None, start: bool) -> str:
    edge = "s" if start else ""
    if found is None:
        return f'<td class="{edge}"></td>'
    mean = number(found.score.mean)
    text = f"<b>{mean}</b>" if found.best else mean
    if found.score.low == found.score.low:
        text += f' <span class="pm">± {number(found.score.half)}</span>'
    if not found.column.is_mean:
        text = f'<a href="#{anchor(report, found.label, found.column)}">{text}</a>'
    if found.score.number < report.table.most(found.column):
        text += f' <span class="pm">({found.score.number})</span>'
    gain = difference(found.difference)
    if gain:
        text += f"<small>{gain}</small>"
        if found.p_adjusted == found.p_adjusted:
            text += f"<small>p {p_value(found.p_adjusted)}</small>"
    verdict = {1: "ahead", -1: "behind", 0: ""}[found.verdict]
    return f'<td class="{" ".join(filter(None, (edge, verdict)))}">{text}</td>'


def _section(section: Section) -> str:
    body = "".join(f'<p class="how">{escape(text)}</p>' for text in section.text)
    if section.code:
        body += f"<pre>{escape(section.code)}</pre>"
    if section.rows:
        numeric = set(section.numbers)
        head = "".join(_td("th", escape(name), i in numeric) for i, name in enumerate(section.head))
        rows = []
        for index, row in enumerate(section.rows):
            name = f' id="{section.anchors[index]}"' if index < len(section.anchors) else ""
            cells = "".join(_td("td", _item(item), i in numeric) for i, item in enumerate(row))
            rows.append(f"<tr{name}>{cells}</tr>")
        body += f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    if section.folded:
        return f"<details><summary>{escape(section.title)}</summary>{body}</details>"
    return f"<h2>{escape(section.title)}</h2>{body}"


def _td(tag: str, content: str, numeric: bool) -> str:
    return f'<{tag} class="n">{content}</{tag}>' if numeric else f"<{tag}>{content}</{tag}>"


def _item(item: Item) -> str:
    if isinstance(item, str):
        return escape(item)
    if isinstance(item, Link):
        text = escape(item.text)
        return f'<a class="id" href="{escape(item.to)}">{text}</a>' if item.to else f'<span class="id">{text}</span>'
    return " ".join(map(_item, item))
