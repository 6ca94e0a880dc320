# SPDX-License-Identifier: Apache-2.0

"""The report of a benchmark: what a sweep says, in a page that anybody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
    from monai_ept.benchmark.report.build import build_report, save_report
    from monai_ept.benchmark.report.compare_runs import Comparison, compare
    from monai_ept.benchmark.report.content import Report
    from monai_ept.benchmark.report.from_folder import read_folder, read_folders
    from monai_ept.benchmark.report.from_mlflow import read_tracked
    from monai_ept.benchmark.report.results import SweepResults

__all__ = [
    "Comparison",
    "Report",
    "SweepResults",
    "build_report",
    "compare",
    "read_folder",
    "read_folders",
    "read_tracked",
    "save_report",
]

__getattr__ = lazy_exports(__name__)
