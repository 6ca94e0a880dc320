# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from monai_ept.benchmark.report import build_report, read_folder
from tests.benchmark.report.report_folder import BASE, write_sweep


def test_methods_that_score_the_same_are_named(tmp_path):
    content = {**BASE, "methods": ["linear", "ept", {"method": "ept", "label": "frozen", "frozen": True}]}
    write_sweep(tmp_path / "s", content, lambda cell: 0.4 + cell.sampling / 100 + 0.05 * (cell.name == "ept"))
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    assert "ept and frozen score the same in all 4 cells that both have." in report.reading
    # The same difference four times is no test of anything.
    assert math.isnan(report.table.scores["ept", report.table.columns[0]].difference.p)
