# SPDX-License-Identifier: Apache-2.0

"""What a report holds, before it is written as anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_ept.benchmark.report.choose import Choice
from monai_ept.benchmark.report.expense import Expense
from monai_ept.benchmark.report.figures import Picture
from monai_ept.benchmark.report.results import SweepResults
from monai_ept.benchmark.report.table import Table

__all__ = ["Report"]


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
    table: Table
    choices: Sequence[Choice]
    costs: Sequence[Expense]
    reading: Sequence[str]
    pictures: Sequence[Picture]
