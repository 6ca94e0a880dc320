# SPDX-License-Identifier: Apache-2.0

"""Figures of a report, as in the paper, each drawn where the sweep has what it shows."""

from __future__ import annotations

from monai_ept.benchmark.report.figures.differences import draw_differences
from monai_ept.benchmark.report.figures.factors import draw_factors
from monai_ept.benchmark.report.figures.repeats import draw_repeats
from monai_ept.benchmark.report.figures.shots import draw_shots
from monai_ept.benchmark.report.scores import Scores
from monai_ept.reporting.figure import Picture, styled

__all__ = ["draw_figures"]


def draw_figures(table: Scores) -> list[Picture]:
    """All figures that the table has numbers for, in the order of the page."""
    places = list(dict.fromkeys((column.backbone, column.source or "") for column in table.singles))
    with styled():
        found = [draw_differences(table, backbone) for backbone in table.backbones]
        found += [draw_shots(table, *place) for place in places]
        found += [picture for place in places for picture in draw_factors(table, *place)]
        found += [draw_repeats(table, *place) for place in places]
    return [picture for picture in found if picture is not None]
