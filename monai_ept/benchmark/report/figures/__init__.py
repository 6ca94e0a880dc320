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

"""Figures of a report, as in the paper, each drawn where the sweep has what it shows."""

from __future__ import annotations

from monai_ept.benchmark.report.figures.differences import draw_differences
from monai_ept.benchmark.report.figures.factors import draw_factors
from monai_ept.benchmark.report.figures.repeats import draw_repeats
from monai_ept.benchmark.report.figures.shots import draw_shots
from monai_ept.benchmark.report.figures.style import Picture
from monai_ept.benchmark.report.table import Table

__all__ = ["Picture", "draw_figures"]


def draw_figures(table: Table) -> list[Picture]:
    """All figures that the table has numbers for, in the order of the page."""
    sources = list(dict.fromkeys((column.backbone, column.source) for column in table.singles))
    found: list[Picture | None] = [draw_differences(table, backbone) for backbone in table.backbones]
    found += [draw_shots(table, backbone, source) for backbone, source in sources if source is not None]
    for backbone, source in sources:
        if source is not None:
            found += draw_factors(table, backbone, source)
    found += [draw_repeats(table, backbone, source) for backbone, source in sources if source is not None]
    return [picture for picture in found if picture is not None]
