# SPDX-License-Identifier: Apache-2.0

"""Figures of a report, as in the paper, each drawn where the sweep has what it shows."""

from __future__ import annotations

from monai_ept.benchmark.report.figures.differences import draw_differences
from monai_ept.benchmark.report.figures.factors import draw_factors
from monai_ept.benchmark.report.figures.repeats import draw_repeats
from monai_ept.benchmark.report.figures.shots import draw_shots
from monai_ept.benchmark.report.scores import Scores
from monai_ept.reporting.figure import Picture

__all__ = ["draw_figures"]


def draw_figures(table: Scores) -> list[Picture]:
    """All figures that the table has numbers for, in the order of the page."""
    sources = list(dict.fromkeys((column.backbone, column.source) for column in table.singles))
    found: list[Picture | None] = [draw_differences(table, backbone) for backbone in table.backbones]
    found += [draw_shots(table, backbone, source) for backbone, source in sources if source is not None]
    for backbone, source in sources:
        if source is not None:
            found += draw_factors(table, backbone, source)
    found += [draw_repeats(table, backbone, source) for backbone, source in sources if source is not None]
    return [picture for picture in found if picture is not None]
