# SPDX-License-Identifier: Apache-2.0

"""What each method costs: numbers that are trained, time and memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from monai_ept.benchmark.report.results import CellResult

__all__ = ["Expense", "expenses"]


@dataclass(frozen=True)
class Expense:
    """
    One method on one backbone.

    Args:
        backbone: the backbone.
        label: the method.
        delta: least and most numbers that it trains beside the head.
        head: least and most numbers of the head.
        train: seconds of a training, median over cells.
        test: seconds of a test, median over cells.
        ratio: seconds of a training against the reference with the same images and seed, median; NaN without one.
        memory: highest peak in MB.
        cells: how many cells.
    """

    backbone: str
    label: str
    delta: tuple[int, int] | None
    head: tuple[int, int] | None
    train: float
    test: float
    ratio: float
    memory: float
    cells: int


def expenses(cells: Sequence[CellResult], labels: Sequence[str], reference: str) -> list[Expense]:
    """
    Costs by backbone and method.

    Args:
        cells: finished cells.
        labels: methods in the order of the table.
        reference: the method that times are divided by.
    """
    groups: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in cells:
        groups[cell.backbone, cell.label].append(cell)
    base = {_key(cell): _seconds(cell, "train") for cell in cells if cell.label == reference}
    found = []
    for backbone in dict.fromkeys(backbone for backbone, _ in groups):
        for label in labels:
            group = groups.get((backbone, label))
            if not group:
                continue
            ratios = [_seconds(cell, "train") / base[_key(cell)] for cell in group if base.get(_key(cell), 0.0) > 0]
            found.append(
                Expense(
                    backbone=backbone,
                    label=label,
                    delta=_range(group, "delta"),
                    head=_range(group, "head"),
                    train=_median([_seconds(cell, "train") for cell in group]),
                    test=_median([_seconds(cell, "test") for cell in group]),
                    ratio=_median(ratios) if label != reference else math.nan,
                    memory=max(
                        (_number((cell.result or {}).get("peak_memory_mb")) for cell in group), default=math.nan
                    ),
                    cells=len(group),
                )
            )
    return found


def _key(cell: CellResult) -> tuple[str, ...]:
    return (*cell.place, cell.sampling, cell.seed)


def _seconds(cell: CellResult, what: str) -> float:
    return _number(((cell.result or {}).get("seconds") or {}).get(what))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return median(finite) if finite else math.nan


def _range(cells: Sequence[CellResult], what: str) -> tuple[int, int] | None:
    counts = [((cell.result or {}).get("count") or {}).get(what) for cell in cells]
    known = [int(count) for count in counts if count is not None]
    return (min(known), max(known)) if known else None
