# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Choosing among the values of a grid by validation images, never by test images."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monai_ept.benchmark.report.results import Cell
from monai_ept.statistics import Estimate, estimate

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
    cells: Sequence[Cell], metric_of: Callable[[str], str], lower: Callable[[str], bool]
) -> tuple[list[Cell], list[Choice]]:
    """
    Keep of every grid the cells with the best value, for each backbone, source, method and number of shots.

    Best is the highest mean validation score over those samplings and seeds that every value has finished. Of equal
    values the first in order (the smallest number) is taken.

    Args:
        cells: finished cells.
        metric_of: name of the metric by source.
        lower: whether less of a metric is more.

    Returns:
        cells without a grid and those with a chosen value, and what was chosen.
    """
    by_grid: dict[tuple[str, str, str, str], list[Cell]] = defaultdict(list)
    kept = []
    for cell in cells:
        if cell.grid:
            by_grid[(*cell.place, cell.label)].append(cell)
        else:
            kept.append(cell)
    choices = []
    for (backbone, source, shots, label), group in by_grid.items():
        metric = metric_of(source)
        choice = _choose(group, metric, -1 if lower(metric) else 1)
        choices.append(Choice(backbone, source, shots, label, metric, *choice))
        kept += [cell for cell in group if cell.grid == choice[0]]
    return kept, choices


def _choose(group: Sequence[Cell], metric: str, sign: int) -> tuple[str, dict[str, Estimate], int, str]:
    values: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for cell in group:
        values[cell.grid]  # a value without any score is shown as such
        score = cell.metric(metric, "val_metrics")
        if not math.isnan(score):
            values[cell.grid][cell.sampling, cell.seed] = score
    order = sorted(values, key=lambda grid: _grid_key(group, grid))
    scored = [grid for grid in order if values[grid]]
    if not scored:
        return "", {grid: estimate([]) for grid in order}, 0, f"no validation {metric}: nothing can be chosen"
    common = set.intersection(*(set(values[grid]) for grid in scored))
    everything = set().union(*(values[grid] for grid in scored))
    remark = ""
    if not common:
        remark = "no repetition has all values yet: provisional, by what each has"
    elif len(common) < len(everything) or len(scored) < len(order):
        remark = f"provisional: {len(common)} of {len(everything)} repetitions have all values"
    means = {grid: estimate([values[grid][key] for key in sorted(common or values[grid])]) for grid in scored}
    best = max(scored, key=lambda grid: sign * means[grid].mean)  # the first of equal ones
    ties = [grid for grid in scored if grid != best and means[grid].mean == means[best].mean]
    if ties:
        remark = "; ".join(filter(None, (remark, f"as good on validation: {' and '.join(ties)}")))
    nothing = {grid: estimate([]) for grid in order}
    return best, {**nothing, **means}, len(common), remark


def _grid_key(group: Sequence[Cell], grid: str) -> list[tuple[float, str]]:
    """Numbers by size, whatever else by name."""
    cell = next(cell for cell in group if cell.grid == grid)
    return [
        (float(value), "") if isinstance(value, (int, float)) else (math.inf, str(value))
        for _, value in sorted((cell.about.get("grid") or {}).items())
    ]
