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
