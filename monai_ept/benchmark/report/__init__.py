# SPDX-License-Identifier: Apache-2.0

"""The report of a benchmark: what a sweep says, in a page that anybody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
    from monai_ept.benchmark.report.contents import Report
    from monai_ept.benchmark.report.folder import read_folder
    from monai_ept.benchmark.report.report import build_report, save_report
    from monai_ept.benchmark.report.results import CellResult, SweepResults
    from monai_ept.benchmark.report.tracked import read_tracked

__all__ = ["CellResult", "Report", "SweepResults", "build_report", "read_folder", "read_tracked", "save_report"]

__getattr__ = lazy_exports(__name__)
