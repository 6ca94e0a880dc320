# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.figures.shots import draw_shots
from tests.benchmark.report.report_folder import BASE, write_sweep


def test_the_dashed_line_is_named_in_the_picture(tmp_path):
    """Also where each method has a panel of its own, and the picture stands without its page."""
    methods = [{"method": "linear", "label": "Linear probe"}, "ept", "lora", "bias", "full", "vpt", "ln", "adapter"]
    write_sweep(tmp_path / "s", {**BASE, "shots": [1, 5], "methods": methods, "reference": "Linear probe"})
    table = build_report(read_folder(tmp_path / "s"), figures=False).table
    picture = draw_shots(table, "embedded", "synthetic_derm")
    assert picture is not None
    for text in ("Linear probe", "all other methods"):  # matplotlib names in a comment what it draws as lines
        assert f"<!-- {text} -->" in picture.svg.decode()
