# SPDX-License-Identifier: Apache-2.0

"""Choosing among the values of a grid by validation images, never by test images."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monai_ept.benchmark.report.results import CellResult
from monai_ept.reporting.statistics import NOTHING, Estimate, estimate

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """
    What was chosen for one method with one number of shots on one data set.

    Args:
        backbone: where.
        source: where.
        shots: where.
        label: the method.
        metric: by which validation score.
        chosen: the grid's value, empty when none could be chosen.
        scores: mean validation score of every value.
        repeats: repetitions that all values have, over which scores are means.
        remark: what makes it doubtful.
    """

    backbone: str
    source: str
    shots: str
    label: str
    metric: str
    chosen: str
    scores: dict[str, Estimate]
    repeats: int
    remark: str = ""


def choose(
    cells: Sequence[CellResult], metric_of: Callable[[str], str], lower: Callable[[str], bool]
) -> tuple[list[CellResult], list[Choice]]:
    """
    Keep of every grid the cells with the best value, for each backbone, source, method and number of shots.

    Best is the best mean validation score over those samplings and seeds that every value has finished. Of equal
    values the first in order (the smallest number) is taken. A value of which all cells failed is no candidate.

    Args:
        cells: all cells, finished or not.
        metric_of: name of the metric by source.
        lower: whether less of a metric is more.

    Returns:
        finished cells without a grid and those with a chosen value, and what was chosen.
    """
    by_grid: dict[tuple[str, str, str, str], list[CellResult]] = defaultdict(list)
    kept = []
    for cell in cells:
        if cell.grid:
            by_grid[(*cell.place, cell.label)].append(cell)
        elif cell.status == "finished":
            kept.append(cell)
    choices = []
    for (backbone, source, shots, label), group in by_grid.items():
        if any(cell.status == "finished" for cell in group):
            metric = metric_of(source)
            choice = _choose(group, metric, -1 if lower(metric) else 1)
            choices.append(Choice(backbone, source, shots, label, metric, *choice))
            kept += [cell for cell in group if cell.status == "finished" and cell.grid == choice[0]]
    return kept, choices


def _choose(group: Sequence[CellResult], metric: str, sign: int) -> tuple[str, dict[str, Estimate], int, str]:
    values: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for cell in group:
        values[cell.grid]  # a value without any score is shown as such
        score = cell.metric(metric, "val_metrics")
        if cell.status == "finished" and not math.isnan(score):
            values[cell.grid][cell.sampling, cell.seed] = score
    order = sorted(values, key=lambda grid: _grid_key(group, grid))
    scored = [grid for grid in order if values[grid]]
    if not scored:
        return "", dict.fromkeys(order, NOTHING), 0, f"no validation {metric}: nothing can be chosen"
    remarks = []
    everything = {(cell.sampling, cell.seed) for cell in group}
    common = set.intersection(*(set(values[grid]) for grid in scored))
    if any(cell.status == "missing" for cell in group):
        which = f"{len(common)} of {len(everything)} repetitions have all values"
        remarks.append(f"provisional: {which if common else 'no repetition has all values, each by what it has'}")
    for grid in order:
        failed = sum(cell.status == "failed" for cell in group if cell.grid == grid)
        if failed:
            remarks.append(f"{grid} failed {failed} of {sum(cell.grid == grid for cell in group)} times")
    means = {grid: estimate([values[grid][key] for key in sorted(common or values[grid])]) for grid in scored}
    # Means of the same scores in another order differ in their last digits.
    worth = {grid: round(sign * means[grid].mean, 9) for grid in scored}
    best = max(scored, key=lambda grid: worth[grid])  # the first of equal ones
    ties = [grid for grid in scored if grid != best and worth[grid] == worth[best]]
    if ties:
        remarks.append(f"as good on validation: {' and '.join(ties)}")
    return best, {grid: means.get(grid, NOTHING) for grid in order}, len(common), "; ".join(remarks)


def _grid_key(group: Sequence[CellResult], grid: str) -> list[tuple[float, str]]:
    """Numbers by size, whatever else by name."""
    cell = next(cell for cell in group if cell.grid == grid)
    return [
        (float(value), "") if isinstance(value, (int, float)) else (math.inf, str(value))
        for _, value in sorted((cell.about.get("grid") or {}).items())
    ]
