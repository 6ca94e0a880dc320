# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.figures.repeats import draw_repeats
from tests.benchmark.report.report_folder import BASE, write_sweep


@pytest.mark.parametrize(("samplings", "seen"), [(2, None), (3, "dots"), (8, "boxes")])
def test_what_is_drawn_depends_on_how_often_it_was_repeated(samplings, seen, tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "shots": [1, 5], "samplings": samplings})
    picture = draw_repeats(build_report(read_folder(tmp_path / "s"), figures=False).table, "embedded", "synthetic_derm")
    if seen is None:
        assert picture is None
        return
    assert picture.caption.startswith("Balanced accuracy of each training as a dot, the mean as a line")
    assert ("the middle half as a box" in picture.caption) == (seen == "boxes")
    for text in ("1-shot", "5-shot", "linear", "bias", "balanced accuracy"):
        assert f"<!-- {text} -->" in picture.svg.decode()
