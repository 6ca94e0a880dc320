# SPDX-License-Identifier: Apache-2.0

"""What a report holds, as sections of a page: scores, figures, costs, choices, and where every number comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monai_ept.benchmark.report.grids import Choice
from monai_ept.benchmark.report.results import SweepResults
from monai_ept.benchmark.report.score_table import anchor, full_tables, how_to_read
from monai_ept.benchmark.report.scores import PLACE, Column, Scores
from monai_ept.reporting.figure import Picture
from monai_ept.reporting.markdown import by_number
from monai_ept.reporting.numbers import bytes_of, many, number, score, seconds, whole
from monai_ept.reporting.page import Cell, Link, Section, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "head_of", "sections_of"]


@dataclass(frozen=True)
class Report:
    """
    What a sweep says.

    Args:
        sweep: its cells.
        table: scores, differences and tests.
        choices: what was chosen from grids.
        costs: by backbone and method.
        reading: sentences about the table.
        pictures: the figures.
    """

    sweep: SweepResults
    table: Scores
    choices: Sequence[Choice]
    costs: pd.DataFrame
    reading: Sequence[str]
    pictures: Sequence[Picture]


def head_of(report: Report) -> tuple[str, list[str]]:
    """The title of the page, and phrases that say what it is about."""
    table, sweep = report.table, report.sweep
    phrases = [table.metrics, many(table.repeats, table.unit), ", ".join(table.backbones)]
    phrases.append(f"{len(sweep.finished)} of {len(sweep.cells)} cells finished")
    return sweep.name, phrases + [f"compared with {table.reference}"] * bool(table.reference)


def sections_of(report: Report, base: str = "") -> list[Section]:
    """
    All sections that have something to say.

    Args:
        report: the report.
        base: way from the report to the sweep's folder, for links; none without.
    """
    table = report.table
    found: list[Section | None] = [
        Section(
            table.metrics.capitalize(),
            backbone,
            tables=full_tables(table, backbone),
            notes=how_to_read(report.sweep, table) if backbone == table.backbones[-1] else (),
        )
        for backbone in table.backbones
    ]
    found += [Section(picture.title, pictures=[picture]) for picture in report.pictures]
    found += [_costs(report), _moved(report), _choices(report), _failed(report, base), _missing(report)]
    found += [_other_metrics(report), _splits(report), _weights(report), _settings(report), _cells(report, base)]
    return [section for section in found if section is not None]


def _costs(report: Report) -> Section:
    several = len(report.table.backbones) > 1
    compared = bool(report.costs["ratio"].notna().any())
    head = ["backbone"] * several + ["method", "trained numbers", "of the head", "training", "test"]
    head += [f"training / {report.table.reference}"] * compared + ["peak memory", "cells"]
    rows = []
    for cost in report.costs.itertuples():
        row = [cost.backbone] * several + [cost.label]
        row += [_range(cost.trained_least, cost.trained_most), _range(cost.head_least, cost.head_most)]
        row += [seconds(cost.train), seconds(cost.test)]
        row += [f"{cost.ratio:.2f}" if cost.ratio == cost.ratio else ""] * compared
        rows.append([*row, bytes_of(cost.memory), str(cost.cells)])
    return Section(
        "What it costs",
        text=[
            "Trained numbers are those beside the head. Seconds are medians over cells as they ran here, with whatever "
            "else the machine did and what was taken from a cache; memory is the highest peak of a cell's process."
        ],
        tables=[Table(head, rows, range(1 + several, len(head)))],
    )


def _range(least: Any, most: Any) -> str:
    import pandas as pd

    if pd.isna(least):
        return "–"
    return whole(least) if least == most else f"{whole(least)}–{whole(most)}"


def _means(cells: pd.DataFrame, kind: str, by: Sequence[str]) -> tuple[list[str], pd.DataFrame]:
    """Names of what some cell measured, in words, and its means."""
    names = [name for name in cells if name.startswith(f"{kind}/") and cells[name].notna().any()]
    names = [name for name in names if name != "test/num_images"]
    words = [name.removeprefix(f"{kind}/").replace("_", " ") for name in names]
    return words, cells.groupby(list(by), sort=False)[names].mean()


def _moved(report: Report) -> Section | None:
    words, means = _means(report.table.cells, "moved", ["label"])
    if not words:
        return None
    means = means.dropna(how="all")
    rows = [
        [label, *("" if value != value else f"{value:.3g}" for value in means.loc[label])]
        for label in report.table.labels
        if label in means.index
    ]
    return Section(
        "How far training moved what it trains",
        text=["Means over all cells of a method."],
        tables=[Table(["method", *words], rows, range(1, len(words) + 1))],
    )


def _choices(report: Report) -> Section | None:
    if not report.choices:
        return None
    several = len(report.table.backbones) > 1
    order = {label: index for index, label in enumerate(report.table.labels)}
    choices = sorted(
        report.choices,
        key=lambda one: (one.backbone, order.get(one.label, -1), one.label, one.source, by_number(one.shots)),
    )
    rows = [
        [choice.backbone] * several
        + [choice.label, choice.source, choice.shots, choice.chosen or "none"]
        + [" · ".join(f"{value}: {score(one.interval)}" for value, one in choice.scores.items()), choice.remark]
        for choice in choices
    ]
    head = ["backbone"] * several + ["method", "data", "shots", "chosen", "validation score of each value", "remark"]
    return Section(
        "What was chosen on validation images",
        text=[
            "Of each grid the value with the best mean score on validation images, over the samplings and seeds that "
            "all values have; of equal ones the first. Test images had no part in it. Validation images carry labels "
            "too: a method with a grid has seen more labels than its shots say."
        ],
        tables=[Table(head, rows, [2 + several])],
    )


def _failed(report: Report, base: str) -> Section | None:
    cells = report.sweep.failed
    if not len(cells):
        return None
    rows: list[list[str | Cell]] = [
        [
            Cell(links=[_link(cell.id, cell, base)]),
            *(_with_grid(cell), _title(cell), cell.sampling, cell.seed),
            _cut(cell.error or "no reason is recorded"),
        ]
        for cell in _sorted(cells, ["label", *PLACE, "id"]).itertuples()
    ]
    return Section(
        f"Failed cells: {len(cells)}",
        text=["A method of which some cells fail is averaged over the others, which may flatter it."],
        tables=[Table(["cell", "method", "data", "sampling", "seed", "error"], rows, [3, 4])],
    )


def _cut(text: str) -> str:
    return text if len(text) < 400 else f"{text[:400]}…"


def _missing(report: Report) -> Section | None:
    cells = report.sweep.missing
    if not len(cells):
        return None
    titles = cells.assign(
        label=[_with_grid(cell) for cell in cells.itertuples()], title=[_title(cell) for cell in cells.itertuples()]
    )
    rows = [
        [label, title, str(len(group)), ", ".join(sorted(set(group["sampling"]), key=by_number))]
        for (label, title), group in titles.groupby(["label", "title"])
    ]
    return Section(
        f"Missing cells: {len(cells)} of {len(report.sweep.cells)}",
        text=["They have not been run, or not to their end; running the sweep again goes on with them."],
        tables=[Table(["method", "data", "cells", "samplings"], rows, [2])],
        folded=len(rows) > 12,
    )


def _other_metrics(report: Report) -> Section | None:
    table = report.table
    words, means = _means(table.cells, "test", [*PLACE, "label"])
    if len(words) < 2:
        return None
    rows = [
        [column.title, label, *map(number, means.loc[(*column, label)])]
        for column in table.singles
        for label in table.labels
        if (label, column) in table.scores
    ]
    return Section(
        "Other metrics",
        text=["Means over cells, not tested. Less is better for ece and brier. cells.csv has those of every cell."],
        tables=[Table(["data", "method", *words], rows, range(2, len(words) + 2))],
        folded=True,
    )


def _splits(report: Report) -> Section | None:
    what = ["num_train", "num_test", "split_hash"]
    cells = report.sweep.finished.replace({name: {"": "–"} for name in what})
    splits = cells.groupby(["source", "shots", "sampling"])[what].agg(lambda values: ", ".join(sorted(set(values))))
    rows = _sorted(splits.reset_index(), ["source", "shots", "sampling"]).to_numpy().tolist()
    return Section(
        "Splits",
        text=["The hash names the images of training, validation and test: equal hashes are equal splits."],
        tables=[Table(["data", "shots", "sampling", "training images", "test images", "hash"], rows, [1, 2, 3, 4])],
        folded=True,
    )


def _weights(report: Report) -> Section:
    what = ["backbone", "pretrained", "fingerprint", "versions"]
    cells = report.sweep.finished.replace({"fingerprint": {"": "–"}})
    last = cells["finished"].max()
    return Section(
        "Weights and versions",
        text=[f"The last cell was finished {last.replace('T', ' at ')}."] if last else [],
        tables=[
            Table(
                ["backbone", "weights", "fingerprint", "versions", "cells"],
                [[*map(str, row)] for row in cells.groupby(what).size().reset_index().itertuples(index=False)],
                [4],
            )
        ],
    )


def _settings(report: Report) -> Section | None:
    if not report.sweep.settings:
        return None
    import yaml

    text = yaml.safe_dump(json.loads(json.dumps(dict(report.sweep.settings), default=str)), sort_keys=False, width=110)
    return Section("Settings of the sweep", text=["With every default written out."], code=text, folded=True)


def _cells(report: Report, base: str) -> Section:
    table = report.table
    rows: list[list[str | Cell]] = []
    names = []
    for column in table.singles:
        for label in table.labels:
            found = table.scores.get((label, column))
            if found is not None:
                cells = _sorted(found.cells, ["sampling", "seed"]).itertuples()
                links = [_link(f"{one.id.rpartition('shot-')[2]} {number(one.value)}", one, base) for one in cells]
                rows.append([column.title, label, Cell(links=links)])
                names.append(anchor(table, label, column))
    return Section(
        "Cells behind each number",
        text=[
            "Each by sampling, seed and hash, the end of its id, with its score. A cell's folder has what it is, its "
            "result and all its predictions; cells.csv has all cells with all their numbers."
        ],
        tables=[Table(["data", "method", "cells"], rows, names=names)],
    )


def _sorted(cells: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Numbers by their value and text after them, column by column."""
    return cells.sort_values(list(by), key=lambda column: column.map(by_number), kind="stable")


def _link(text: str, cell: Any, base: str) -> Link:
    return Link(text, f"{base}/{cell.link}" if base and cell.link else "")


def _title(cell: Any) -> str:
    return Column(cell.backbone, cell.source, cell.shots).title


def _with_grid(cell: Any) -> str:
    return f"{cell.label} ({cell.grid})" if cell.grid else cell.label
