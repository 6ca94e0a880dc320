# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import replace

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.figures.differences import draw_differences
from tests.benchmark.report.report_folder import BASE, write_sweep


def table_of(folder, gain, **content):
    def score(cell):
        return 0.4 + gain[cell.name] + cell.sampling / 100 + gain[cell.name] * cell.sampling / 50

    write_sweep(folder, {**BASE, "methods": list(gain), **content}, score)
    return build_report(read_folder(folder), figures=False).table


def words(picture):
    """Texts of the drawing, which matplotlib names in comments."""
    return picture.svg.decode()


def test_what_was_told_apart_has_its_number_beside_it(tmp_path):
    table = table_of(tmp_path / "s", {"linear": 0.0, "full": 0.1, "ept": -0.05, "bias": 0.0}, samplings=5)
    picture = draw_differences(table, "embedded")
    assert picture.name == "differences" and picture.title == "Difference to linear"
    assert "the bar its 95 % interval" in picture.caption
    found = {label: table.scores[label, table.columns[0]] for label in ("full", "ept", "bias")}
    assert [one.verdict for one in found.values()] == [1, -1, 0]
    for text in ("<!-- +.104 -->", "<!-- −.052 -->", "<!-- bias -->", "with 95 % interval"):
        assert text in words(picture)
    assert "<!-- +.000 -->" not in words(picture)


def test_without_intervals_nothing_is_coloured(tmp_path):
    table = table_of(tmp_path / "s", {"linear": 0.0, "full": 0.1}, samplings=2)
    picture = draw_differences(table, "embedded")
    assert "no interval with fewer than 5 samplings, so that nothing is coloured" in picture.caption
    assert "<!-- +.1" not in words(picture)


def test_nothing_to_compare_is_no_picture(tmp_path):
    table = table_of(tmp_path / "s", {"linear": 0.0, "full": 0.1}, samplings=2)
    assert draw_differences(table, "another") is None
    assert draw_differences(replace(table, reference=""), "embedded") is None
    assert draw_differences(table_of(tmp_path / "t", {"linear": 0.0}, samplings=2), "embedded") is None
