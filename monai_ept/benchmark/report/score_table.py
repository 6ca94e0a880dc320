# SPDX-License-Identifier: Apache-2.0

"""The table of scores, and what its numbers are, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_ept.benchmark.report.results import SweepResults
from monai_ept.benchmark.report.scores import LEVEL, Column, Score, Scores
from monai_ept.reporting.numbers import difference, many, number, p_value, score
from monai_ept.reporting.page import Cell, Table
from monai_ept.reporting.prose import sentences
from monai_ept.reporting.statistics import FEWEST

__all__ = ["anchor", "brief_table", "full_tables", "how_to_read"]

MOST = 10
"""Columns of numbers beside each other; a wider table goes on below."""


def brief_table(table: Scores, backbone: str) -> Table:
    """Methods by columns for a terminal: the score, and only which way it goes beside the reference."""
    columns = [column for column in table.columns if column.backbone == backbone]
    rows = [[label, *(_briefly(one) if one else "" for one in found)] for label, found in _rows(table, columns)]
    return Table(["method", *(column.title for column in columns)], rows)


def _rows(table: Scores, columns: Sequence[Column]) -> list[tuple[str, list[Score | None]]]:
    """Methods that have a score in some of the columns, with what they have in each."""
    rows = [(label, [table.scores.get((label, column)) for column in columns]) for label in table.labels]
    return [row for row in rows if any(row[1])]


def _briefly(found: Score) -> str:
    text = f"**{score(found.score.interval)}**" if found.best else score(found.score.interval)
    return f"{text} {('', '▲', '▼')[found.verdict]}".strip()


def full_tables(table: Scores, backbone: str) -> list[Table]:
    """The scores of a backbone; columns of one data set stay together, and what does not fit beside goes on below."""
    chunks: list[list[Column]] = []
    blocks: dict[str | None, list[Column]] = {}
    for column in table.columns:
        if column.backbone == backbone:
            blocks.setdefault(column.source, []).append(column)
    for block in blocks.values():
        if chunks and len(chunks[-1]) + len(block) <= MOST:
            chunks[-1] += block
        else:
            chunks.append(list(block))
    return [_full(table, columns) for columns in chunks]


def _full(table: Scores, columns: Sequence[Column]) -> Table:
    rows = _rows(table, columns)
    mean = "mean over all data" if len(table.metric_of) > 1 else "mean"
    sources = [column.source or mean for column in columns]
    return Table(
        ["method", *(f"{column.shots}-shot" if column.shots else "all shots" for column in columns)],
        [[label, *(_score(table, one) if one else "" for one in found)] for label, found in rows],
        numbers=range(1, len(columns) + 1),
        groups=[(source, sources.count(source)) for source in dict.fromkeys(sources)],
        marked=[index for index, (label, _) in enumerate(rows) if label == table.reference],
    )


def _score(table: Scores, found: Score) -> Cell:
    below = [f"of {' · '.join(map(number, found.few))}" if found.few else "", difference(found.difference)]
    if below[1] and found.p_adjusted == found.p_adjusted:
        below.append(f"p {p_value(found.p_adjusted)}")
    spread = f"± {number(found.score.interval.half)}" if found.score.interval.known else ""
    fewer = f"({found.score.number})" if found.score.number < table.most(found.column) else ""
    return Cell(
        number(found.score.mean),
        " ".join(filter(None, (spread, fewer))),
        list(filter(None, below)),
        ("", "ahead", "behind")[found.verdict],
        found.best,
        "" if found.column.is_mean else f"#{anchor(table, found.label, found.column)}",
    )


def anchor(table: Scores, label: str, column: Column) -> str:
    """Name of the row that lists the cells behind a number."""
    return f"cells-{table.labels.index(label)}-{table.columns.index(column)}"


def how_to_read(sweep: SweepResults, table: Scores) -> list[str]:
    """What the table's numbers are, exactly."""
    fewer = [
        f"{one.label} {one.column.title} ({one.score.number} of {table.most(one.column)})"
        for label in table.labels
        for one in table.row(label)
        if not one.column.is_mean and one.score.number < table.most(one.column)
    ]
    said = sentences(
        Path(__file__).with_name("how_to_read.jinja"),
        "how_to_read",
        table=table,
        repeats=many(table.repeats, table.unit),
        same_test=[sweep.same_test.get(source) for source in table.metric_of],
        least=2 / 2**table.repeats,
        level=LEVEL,
        fewer=fewer,
        fewest=FEWEST,
    )
    return [*said, *table.notes, *sweep.notes]
