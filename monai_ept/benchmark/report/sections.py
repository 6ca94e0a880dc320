# SPDX-License-Identifier: Apache-2.0

"""What follows table and figures: costs, choices, what is missing, and where every number comes from."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from monai_ept.benchmark.report.contents import Report
from monai_ept.benchmark.report.results import CellResult
from monai_ept.benchmark.report.table import LEVEL, Column
from monai_ept.reporting.markdown import by_number
from monai_ept.reporting.numbers import bytes_of, many, number, p_value, score, seconds, share, whole
from monai_ept.reporting.statistics import estimate

__all__ = ["Link", "Section", "anchor", "how_to_read", "sections"]


@dataclass(frozen=True)
class Link:
    """Text that leads somewhere, if there is somewhere to lead."""

    text: str
    to: str = ""


Item = str | Link | Sequence[Link]


@dataclass(frozen=True)
class Section:
    """
    A heading with text and a table.

    Args:
        title: the heading.
        text: paragraphs above the table.
        head: names of columns.
        rows: the table, empty for none.
        numbers: columns that are numbers, by index.
        code: text that is shown as it is, in place of a table.
        folded: opened only by a click, where the medium can.
        anchors: name of each row that something links to.
    """

    title: str
    text: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[Item]] = ()
    numbers: Sequence[int] = ()
    code: str = ""
    folded: bool = False
    anchors: Sequence[str] = field(default=())


def sections(report: Report, base: str = "") -> list[Section]:
    """
    All sections that have something to say.

    Args:
        report: the report.
        base: way from the report to the sweep's folder, for links; none without.
    """
    found = [_costs(report), _moved(report), _choices(report), _failed(report, base), _missing(report)]
    found += [_other_metrics(report), _splits(report), _weights(report), _settings(report), _cells(report, base)]
    return [section for section in found if section is not None]


def anchor(report: Report, label: str, column: Column) -> str:
    """Name of the row that lists the cells behind a number."""
    table = report.table
    return f"cells-{table.labels.index(label)}-{table.columns.index(column)}"


def how_to_read(report: Report) -> list[str]:
    """What the table's numbers are, exactly."""
    table = report.table
    repeats = many(table.repeats, table.unit)
    lines = [
        f"Each number is the mean over {repeats} ± half of its 95 % interval (Student's t); bold is the best mean of a "
        "column."
    ]
    if table.unit == "seed" and table.repeats > 1:
        lines[0] += " There is one sampling: intervals say how training varies, not how the choice of images does."
    elif table.unit == "sampling":
        lines[0] += " Seeds of one sampling are averaged first, because they share their training images."
    fixed = [report.sweep.same_test.get(source) for source in table.metric_of]
    if fixed and all(fixed):
        lines.append(
            "All cells of a data set are tested on the same images: intervals say how much depends on the choice of "
            "the few training images, and nothing about other test images."
        )
    elif False in fixed:
        lines.append("Test images differ between samplings: intervals contain that too.")
    if table.reference and table.families[0]:
        lines.append(
            f"Below it: the difference to {table.reference} on the same training images and seed, its 95 % interval "
            "(not corrected), and the p value of a paired t-test (two-sided), corrected by Holm."
        )
        least = 2 / 2**table.repeats
        if least * table.families[0] > LEVEL:
            lines[-1] += (
                f" Wilcoxon's signed-rank test is not used: with {repeats} it cannot fall below {least:.4g}, "
                "before correction and whatever the results. The price is that the t-test takes differences for "
                "roughly normal."
            )
        singles, means = table.families
        family = f"Corrected together: the {singles} tests of single columns (all methods, data and shots)"
        if means:
            family += f"; by themselves, the {means} tests of columns of means"
        lines.append(family + f". Coloured is what is below {p_value(LEVEL)} after correction.")
        if means:
            text = "A column of means counts each data set and number of shots the same. "
            if len(table.metric_of) > 1:
                text += (
                    "Its test is over samplings × data sets, stratified: each data set has its own mean and variance, "
                    "degrees of freedom are Welch's and Satterthwaite's. It speaks of these data sets and no others. "
                )
            lines.append(f"{text}Numbers of shots are averaged within a {table.unit} first.")
    few = _fewer(report)
    if few:
        lines.append(few)
    return lines + list(table.notes) + list(report.sweep.notes)


def _fewer(report: Report) -> str:
    table = report.table
    short = [
        f"{score.label} {score.column.title} ({share(score.score.number, table.most(score.column))})"
        for label in table.labels
        for score in table.row(label)
        if not score.column.is_mean and score.score.number < table.most(score.column)
    ]
    if not short:
        return ""
    more = f" and {len(short) - 6} more" if len(short) > 6 else ""
    which = f"{', '.join(short[:6])}{more}"
    return f"Over fewer {table.unit}s, so that they are not quite comparable, and never bold: {which}."


def _costs(report: Report) -> Section:
    several = len(report.table.backbones) > 1
    compared = any(cost.ratio == cost.ratio for cost in report.costs)
    head = ["backbone"] * several + ["method", "trained numbers", "of the head", "training", "test"]
    head += [f"training / {report.table.reference}"] * compared + ["peak memory", "cells"]
    rows = []
    for cost in report.costs:
        row = [cost.backbone] * several + [cost.label, _range(cost.delta), _range(cost.head)]
        row += [seconds(cost.train), seconds(cost.test)]
        row += ([f"{cost.ratio:.2f}" if cost.ratio == cost.ratio else ""]) * compared
        rows.append([*row, bytes_of(cost.memory), str(cost.cells)])
    start = 1 + several
    return Section(
        "What it costs",
        [
            "Trained numbers are those beside the head. Seconds are medians over cells as they ran here, with whatever "
            "else the machine did and what was taken from a cache; memory is the highest peak of a cell's process."
        ],
        head,
        rows,
        range(start, len(head)),
    )


def _range(values: tuple[int, int] | None) -> str:
    if values is None:
        return "–"
    low, high = values
    return whole(low) if low == high else f"{whole(low)}–{whole(high)}"


def _moved(report: Report) -> Section | None:
    by_label: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in report.table.cells:
        moved = (cell.result or {}).get("moved")
        for name, value in moved.items() if isinstance(moved, dict) else ():
            if isinstance(value, (int, float)) and value == value:
                by_label[cell.label][name].append(float(value))
    names = list(dict.fromkeys(name for values in by_label.values() for name in values))
    if not names:
        return None
    rows = [
        [label, *(f"{estimate(by_label[label][name]).mean:.3g}" if by_label[label][name] else "" for name in names)]
        for label in report.table.labels
        if label in by_label
    ]
    return Section(
        "How far training moved what it trains",
        ["Means over all cells of a method."],
        ["method", *(name.replace("_", " ") for name in names)],
        rows,
        range(1, len(names) + 1),
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
        + [" · ".join(f"{value}: {score(found.interval)}" for value, found in choice.scores.items()), choice.remark]
        for choice in choices
    ]
    head = ["backbone"] * several + ["method", "data", "shots", "chosen", "validation score of each value", "remark"]
    return Section(
        "What was chosen on validation images",
        [
            "Of each grid the value with the best mean score on validation images, over the samplings and seeds that "
            "all values have; of equal ones the first. Test images had no part in it. Validation images carry labels "
            "too: a method with a grid has seen more labels than its shots say."
        ],
        head,
        rows,
        [2 + several],
    )


def _failed(report: Report, base: str) -> Section | None:
    cells = report.sweep.failed
    if not cells:
        return None
    order = sorted(cells, key=lambda cell: (cell.label, cell.place[:2], by_number(cell.shots), cell.id))
    rows: list[list[Item]] = [
        [_link(cell, base), _with_grid(cell), _title(cell), cell.sampling, cell.seed, _error(cell)] for cell in order
    ]
    return Section(
        f"Failed cells: {len(cells)}",
        ["A method of which some cells fail is averaged over the others, which may flatter it."],
        ["cell", "method", "data", "sampling", "seed", "error"],
        rows,
        [3, 4],
    )


def _error(cell: CellResult) -> str:
    text = str((cell.result or {}).get("error") or "no reason is recorded")
    return text if len(text) < 400 else f"{text[:400]}…"


def _missing(report: Report) -> Section | None:
    cells = report.sweep.missing
    if not cells:
        return None
    samplings: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in cells:
        samplings[_with_grid(cell), _title(cell)].append(cell)
    rows = []
    for (label, title), group in sorted(samplings.items()):
        those = sorted({cell.sampling for cell in group}, key=by_number)
        rows.append([label, title, str(len(group)), ", ".join(those)])
    return Section(
        f"Missing cells: {len(cells)} of {len(report.sweep.cells)}",
        ["They have not been run, or not to their end; running the sweep again goes on with them."],
        ["method", "data", "cells", "samplings"],
        rows,
        [2],
        folded=len(rows) > 12,
    )


def _other_metrics(report: Report) -> Section | None:
    table = report.table
    names = list(dict.fromkeys(name for cell in table.cells for name in (cell.result or {}).get("metrics") or {}))
    names = [
        name
        for name in names
        if name != "num_images" and any(cell.metric(name) == cell.metric(name) for cell in table.cells)
    ]
    if len(names) < 2:
        return None
    rows = []
    for column in table.singles:
        for label in table.labels:
            found = table.scores.get((label, column))
            if found is not None:
                means = [estimate([v for cell in found.cells if (v := cell.metric(name)) == v]).mean for name in names]
                rows.append([column.title, label, *map(number, means)])
    return Section(
        "Other metrics",
        ["Means over cells, not tested. Less is better for ece and brier. cells.csv has those of every cell."],
        ["data", "method", *(name.replace("_", " ") for name in names)],
        rows,
        range(2, len(names) + 2),
        folded=True,
    )


def _splits(report: Report) -> Section | None:
    hashes: dict[tuple[str, str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for cell in report.sweep.finished:
        result = cell.result or {}
        place = cell.source, cell.shots, cell.sampling
        hashes[place]["hash"][str(result.get("split_hash") or "–")] += 1
        hashes[place]["train"][str(result.get("num_train", "–"))] += 1
        hashes[place]["test"][str(result.get("num_test", "–"))] += 1
    order = sorted(hashes, key=lambda place: (place[0], by_number(place[1]), by_number(place[2])))
    rows = [
        [*place, *(", ".join(sorted(hashes[place][what])) for what in ("train", "test", "hash"))] for place in order
    ]
    return Section(
        "Splits",
        ["The hash names the images of training, validation and test: equal hashes are equal splits."],
        ["data", "shots", "sampling", "training images", "test images", "hash"],
        rows,
        [1, 2, 3, 4],
        folded=True,
    )


def _weights(report: Report) -> Section:
    places: dict[tuple[str, str, str, str], int] = Counter(
        (
            cell.backbone,
            str(cell.about.get("pretrained", "–")),
            str((cell.result or {}).get("fingerprint") or "–"),
            ", ".join(f"{name} {text}" for name, text in sorted(((cell.result or {}).get("versions") or {}).items())),
        )
        for cell in report.sweep.finished
    )
    rows = [[*place, str(count)] for place, count in sorted(places.items())]
    last = max((str((cell.result or {}).get("finished") or "") for cell in report.sweep.finished), default="")
    return Section(
        "Weights and versions",
        [f"The last cell was finished {last.replace('T', ' at ')}."] if last else [],
        ["backbone", "weights", "fingerprint", "versions", "cells"],
        rows,
        [4],
    )


def _settings(report: Report) -> Section | None:
    if not report.sweep.settings:
        return None
    import yaml

    text = yaml.safe_dump(json.loads(json.dumps(dict(report.sweep.settings), default=str)), sort_keys=False, width=110)
    return Section("Settings of the sweep", ["With every default written out."], code=text, folded=True)


def _cells(report: Report, base: str) -> Section:
    table = report.table
    rows: list[list[Item]] = []
    anchors = []
    for column in table.singles:
        for label in table.labels:
            found = table.scores.get((label, column))
            if found is None:
                continue
            cells = sorted(found.cells, key=lambda cell: (by_number(cell.sampling), by_number(cell.seed)))
            metric = table.metric_of[cells[0].source]
            links = [
                Link(
                    f"{cell.id.rpartition('shot-')[2]} {number(cell.metric(metric))}",
                    f"{base}/{cell.link}" if base and cell.link else "",
                )
                for cell in cells
            ]
            rows.append([column.title, label, links])
            anchors.append(anchor(report, label, column))
    return Section(
        "Cells behind each number",
        [
            "Each by sampling, seed and hash, the end of its id, with its score. A cell's folder has what it is, its "
            "result and all its predictions; cells.csv has all cells with all their numbers."
        ],
        ["data", "method", "cells"],
        rows,
        anchors=anchors,
    )


def _link(cell: CellResult, base: str) -> Link:
    return Link(cell.id, f"{base}/{cell.link}" if base and cell.link else "")


def _title(cell: CellResult) -> str:
    return Column(cell.backbone, cell.source, cell.shots).title


def _with_grid(cell: CellResult) -> str:
    return f"{cell.label} ({cell.grid})" if cell.grid else cell.label
