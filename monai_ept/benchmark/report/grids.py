# SPDX-License-Identifier: Apache-2.0

"""Model selection: choosing among the values of a grid by validation images, never by test images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from monai_ept.metrics import lower_is_better
from monai_ept.reporting.statistics import FEWEST, NOTHING, Estimate, estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Choice", "choose"]


class Choice(NamedTuple):
    """What was chosen for one method with one number of shots on one data set."""

    backbone: str
    source: str
    shots: str
    label: str
    metric: str  # by which validation score
    chosen: str  # the grid's value; empty when none could be chosen
    scores: dict[str, Estimate]  # of every value, on validation images
    repeats: int  # that all values have
    remark: str = ""  # what makes it doubtful


def choose(cells: pd.DataFrame, metric_of: Mapping[str, str]) -> tuple[pd.DataFrame, list[Choice]]:
    """
    Keep of every grid the cells with the best value, for each backbone, source, method and number of shots.

    Best is the best mean validation score over the samplings and seeds that every value has finished, of equal values
    the smallest. A value of which all cells failed is no candidate.

    Args:
        cells: all cells, finished or not.

    Returns:
        finished cells without a grid and those with a chosen value, and what was chosen.
    """
    finished = cells["status"] == "finished"
    keep = finished & (cells["grid"] == "")
    choices = []
    for where, group in cells[cells["grid"] != ""].groupby(["backbone", "source", "shots", "label"], sort=False):
        if finished[group.index].any():
            choices.append(_choose(where, group, metric_of[where[1]]))
            keep[group.index] = finished[group.index] & (group["grid"] == choices[-1].chosen)
    return cells[keep], choices


def _choose(where: tuple[str, str, str, str], group: pd.DataFrame, metric: str) -> Choice:
    grids = group.drop_duplicates("grid")
    order = [grid for _, grid in sorted(zip(map(_by_size, grids["grid_values"]), grids["grid"], strict=True))]
    name = f"val/{metric}"
    scored = group[group["status"] == "finished"].dropna(subset=name) if name in group else group[:0]
    if not len(scored):
        nothing = dict.fromkeys(order, NOTHING)
        return Choice(*where, metric, "", nothing, 0, f"no validation {metric}: nothing can be chosen")
    # A row for each repetition, a column for each value that has a score.
    scores = scored.pivot_table(index=["sampling", "seed"], columns="grid", values=name, aggfunc="last")
    common = scores.dropna()
    remarks = []
    if (group["status"] == "missing").any():
        which = f"{len(common)} of {len(group[['sampling', 'seed']].drop_duplicates())} repetitions have all values"
        if not len(common):
            which = "no repetition has all values, each by what it has"
        remarks.append(f"provisional: {which}")
    for grid in order:
        failed = group.loc[group["grid"] == grid, "status"] == "failed"
        if failed.any():
            remarks.append(f"{grid} failed {failed.sum()} of {len(failed)} times")
    used = common if len(common) else scores
    means = {grid: estimate(used[grid].dropna().tolist(), FEWEST) for grid in order if grid in scores}
    # Means of the same scores in another order differ in their last digits.
    sign = -1 if lower_is_better(metric) else 1
    worth = {grid: round(sign * found.mean, 9) for grid, found in means.items()}
    best = max(worth, key=lambda grid: worth[grid])  # the first of equal ones
    ties = [grid for grid in worth if grid != best and worth[grid] == worth[best]]
    if ties:
        remarks.append(f"as good on validation: {' and '.join(ties)}")
    all_scores = {grid: means.get(grid, NOTHING) for grid in order}
    return Choice(*where, metric, best, all_scores, len(common), "; ".join(remarks))


def _by_size(values: Mapping[str, object]) -> list[tuple[float, str]]:
    """Numbers by size, whatever else by name."""
    return [
        (float(value), "") if isinstance(value, (int, float)) else (math.inf, str(value))
        for _, value in sorted(values.items())
    ]
