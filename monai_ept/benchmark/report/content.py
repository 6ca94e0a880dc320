# SPDX-License-Identifier: Apache-2.0

"""What a report holds, as sections of a page: scores, figures, costs, choices, and where every number comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
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


MOST_RECIPES = 4
"""Recipes that the subtitle names."""
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD"}


@dataclass(frozen=True)
class Report:
    """What a sweep says: its cells, scores and tests, choices from grids, costs, sentences about them, and figures."""

    sweep: SweepResults
    table: Scores
    choices: Sequence[Choice]
    costs: pd.DataFrame
    reading: Sequence[str]
    pictures: Sequence[Picture]


def head_of(report: Report) -> tuple[str, list[str]]:
    """The title of the page, and phrases that say what it is about."""
    table, sweep = report.table, report.sweep
    phrases = [table.metrics, _repetitions(table), *_test_images(table), *_recipes(table), ", ".join(table.backbones)]
    phrases.append(f"{len(sweep.finished)} of {len(sweep.cells)} cells finished")
    return sweep.name, phrases + [f"compared with {table.reference}"] * bool(table.reference)


def _repetitions(table: Scores) -> str:
    least = min((one.score.number for one in table.scores.values() if not one.column.is_mean), default=0)
    return f"{least}–" * (least < table.repeats) + many(table.repeats, table.unit)


def _test_images(table: Scores) -> list[str]:
    """How many images a score is of, for each data set if those differ."""
    known = table.cells[table.cells["num_test"].str.isdigit()]
    counts = {
        source: _range(found.min(), found.max())
        for source, found in known["num_test"].astype(int).groupby(known["source"])
    }
    if len(set(counts.values())) < 2:
        return [f"{count} test images" for count in list(counts.values())[:1]]
    return ["test images: " + ", ".join(f"{count} of {source}" for source, count in counts.items())]


def _recipes(table: Scores) -> list[str]:
    """Recipe, epochs and optimizer of all cells, or how many of those there are."""
    found = dict.fromkeys(map(_recipe, table.cells["settings"]))
    texts = [text for text in found if text]
    return texts if len(texts) <= MOST_RECIPES else [f"{len(texts)} recipes, listed with the settings below"]


def _recipe(settings: Mapping[str, str]) -> str:
    # A sweep's folder has the recipe as a mapping, a store its settings beside all others.
    prefix, name = ("recipe.", "recipe.name") if "recipe.epochs" in settings else ("settings.", "settings.recipe")
    epochs, optimizer = settings.get(f"{prefix}epochs", ""), settings.get(f"{prefix}optimizer", "")
    how = f"{epochs} epochs of {OPTIMIZERS.get(optimizer, optimizer)}" if epochs != "0" else "solved, 0 epochs"
    return f"recipe {settings.get(name, 'of its own')}: {how}" if epochs and optimizer else ""


def sections_of(report: Report, base: str = "") -> list[Section]:
    """
    All sections that have something to say.

    Args:
        base: way from the report to the sweep's folder, for links; none without.
    """
    table = report.table
    found = [
        Section(
            table.metrics.capitalize(),
            backbone,
            tables=full_tables(table, backbone),
            notes=how_to_read(report.sweep, table) if backbone == table.backbones[-1] else (),
        )
        for backbone in table.backbones
    ]
    found += [Section(picture.title, pictures=[picture]) for picture in report.pictures]
    found += [*_costs(report), *_moved(report), *_choices(report), *_failed(report, base), *_missing(report)]
    found += [*_other_metrics(report), *_splits(report), *_weights(report), *_settings(report), *_cells(report, base)]
    return found


def _section(
    title: str,
    text: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    numbers: Collection[int] = (),
    *,
    folded: bool = False,
    names: Sequence[str] = (),
) -> list[Section]:
    """A section of one table; none when that has no rows."""
    table = Table(head, rows, numbers, names=names)
    return [Section(title, text=[text] if text else [], tables=[table], folded=folded)] if rows else []


def _costs(report: Report) -> list[Section]:
    several = len(report.table.backbones) > 1
    compared = bool(report.costs["ratio"].notna().any())
    head = ["backbone"] * several + ["method", "trained numbers", "of the head", "training", "test"]
    head += [f"training / {report.table.reference}"] * compared + ["peak memory", "cells"]
    rows = []
    for cost in report.costs.itertuples():
        row = [cost.backbone] * several + [cost.label]
        row += [_range(cost.trained_least, cost.trained_most), _range(cost.head_least, cost.head_most)]
        row += [seconds(cost.train), seconds(cost.test)]
        row += ["" if math.isnan(cost.ratio) else f"{cost.ratio:.2f}"] * compared
        rows.append([*row, bytes_of(cost.memory), str(cost.cells)])
    return _section(
        "What it costs",
        "Trained numbers are those beside the head. Seconds are medians over cells as they ran here, with whatever "
        "else the machine did and what was taken from a cache; memory is the highest peak of a cell's process.",
        head,
        rows,
        range(1 + several, len(head)),
    )


def _range(least: Any, most: Any) -> str:
    import pandas as pd

    if pd.isna(least):
        return "–"
    return whole(least) if least == most else f"{whole(least)}–{whole(most)}"


def _means(cells: pd.DataFrame, kind: str, by: Sequence[str]) -> pd.DataFrame:
    """Means of what some cell measured, named in words."""
    names = [name for name in cells if name.startswith(f"{kind}/") and cells[name].notna().any()]
    means = cells.groupby(list(by), sort=False)[[name for name in names if name != "test/num_images"]].mean()
    return means.rename(columns=lambda name: name.removeprefix(f"{kind}/").replace("_", " "))


def _moved(report: Report) -> list[Section]:
    means = _means(report.table.cells, "moved", ["label"]).dropna(how="all")
    rows = [
        [label, *("" if math.isnan(value) else f"{value:.3g}" for value in means.loc[label])]
        for label in report.table.labels
        if label in means.index
    ]
    return _section(
        "How far training moved what it trains",
        "Means over all cells of a method.",
        ["method", *means],
        rows,
        range(1, len(means.columns) + 1),
    )


def _choices(report: Report) -> list[Section]:
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
    return _section(
        "What was chosen on validation images",
        "Of each grid the value with the best mean score on validation images, over the samplings and seeds that "
        "all values have; of equal ones the first. Test images had no part in it. Validation images carry labels "
        "too: a method with a grid has seen more labels than its shots say.",
        head,
        rows,
        [2 + several],
    )


def _failed(report: Report, base: str) -> list[Section]:
    cells = report.sweep.failed
    rows: list[list[str | Cell]] = []
    for cell in _sorted(cells, ["label", *PLACE, "id"]).itertuples():
        error = cell.error or "no reason is recorded"
        what = [_with_grid(cell), _title(cell), cell.sampling, cell.seed]
        rows.append([Cell(links=[_link(cell.id, cell, base)]), *what, error[:400] + "…" * (len(error) >= 400)])
    return _section(
        f"Failed cells: {len(cells)}",
        "A method of which some cells fail is averaged over the others, which may flatter it.",
        ["cell", "method", "data", "sampling", "seed", "error"],
        rows,
        [3, 4],
    )


def _missing(report: Report) -> list[Section]:
    cells = report.sweep.missing
    titles = cells.assign(
        label=[_with_grid(cell) for cell in cells.itertuples()], title=[_title(cell) for cell in cells.itertuples()]
    )
    rows = [
        [label, title, str(len(group)), ", ".join(sorted(set(group["sampling"]), key=by_number))]
        for (label, title), group in titles.groupby(["label", "title"])
    ]
    return _section(
        f"Missing cells: {len(cells)} of {len(report.sweep.cells)}",
        "They have not been run, or not to their end; running the sweep again goes on with them.",
        ["method", "data", "cells", "samplings"],
        rows,
        [2],
        folded=len(rows) > 12,
    )


def _other_metrics(report: Report) -> list[Section]:
    table = report.table
    means = _means(table.cells, "test", [*PLACE, "label"])
    rows = [
        [column.title, label, *map(number, means.loc[(*column, label)])]
        for column in table.singles
        for label in table.labels
        if (label, column) in table.scores and len(means.columns) > 1
    ]
    return _section(
        "Other metrics",
        "Means over cells, not tested. Less is better for ece and brier. cells.csv has those of every cell.",
        ["data", "method", *means],
        rows,
        range(2, len(means.columns) + 2),
        folded=True,
    )


def _splits(report: Report) -> list[Section]:
    what = ["num_train", "num_test", "split_hash"]
    cells = report.sweep.finished.replace({name: {"": "–"} for name in what})
    splits = cells.groupby(["source", "shots", "sampling"])[what].agg(lambda values: ", ".join(sorted(set(values))))
    return _section(
        "Splits",
        "The hash names the images of training, validation and test: equal hashes are equal splits.",
        ["data", "shots", "sampling", "training images", "test images", "hash"],
        _sorted(splits.reset_index(), ["source", "shots", "sampling"]).to_numpy().tolist(),
        [1, 2, 3, 4],
        folded=True,
    )


def _weights(report: Report) -> list[Section]:
    what = ["backbone", "pretrained", "fingerprint", "versions"]
    cells = report.sweep.finished.replace({"fingerprint": {"": "–"}})
    last = cells["finished"].max()
    return _section(
        "Weights and versions",
        f"The last cell was finished {last.replace('T', ' at ')}." if last else "",
        ["backbone", "weights", "fingerprint", "versions", "cells"],
        [[*map(str, row)] for row in cells.groupby(what).size().reset_index().itertuples(index=False)],
        [4],
    )


def _settings(report: Report) -> list[Section]:
    import yaml

    settings = json.loads(json.dumps(dict(report.sweep.settings), default=str))
    code = yaml.safe_dump(settings, sort_keys=False, width=110)
    text = ["With every default written out."]
    return [Section("Settings of the sweep", text=text, code=code, folded=True)] if settings else []


def _cells(report: Report, base: str) -> list[Section]:
    table = report.table
    rows: list[list[str | Cell]] = []
    names = []
    for column in table.singles:
        for label in table.labels:
            if found := table.scores.get((label, column)):
                cells = _sorted(found.cells, ["sampling", "seed"]).itertuples()
                links = [_link(f"{one.id.rpartition('shot-')[2]} {number(one.value)}", one, base) for one in cells]
                rows.append([column.title, label, Cell(links=links)])
                names.append(anchor(table, label, column))
    return _section(
        "Cells behind each number",
        "Each by sampling, seed and hash, the end of its id, with its score. A cell's folder has what it is, its "
        "result and all its predictions; cells.csv has all cells with all their numbers.",
        ["data", "method", "cells"],
        rows,
        names=names,
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
