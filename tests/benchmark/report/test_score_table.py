# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.score_table import MOST, anchor, brief_table, full_tables, how_to_read
from tests.benchmark.report.report_folder import BASE, write_sweep


def score(cell):
    """Full is far ahead and bias as good as nothing."""
    gain = {"linear": 0.0, "bias": 0.001 * (-1) ** cell.sampling, "full": 0.2 + cell.sampling / 1000}
    return 0.4 + gain[cell.name] + cell.sampling / 100


def report_of(folder, **content):
    write_sweep(folder, {**BASE, "samplings": 5, "methods": ["linear", "bias", "full"], **content}, score)
    return build_report(read_folder(folder), figures=False)


def test_methods_by_columns_with_what_was_told_apart(tmp_path):
    table = report_of(tmp_path / "s").table
    brief = brief_table(table, "embedded")
    assert brief.head == ["method", "synthetic_derm, 5-shot"]
    rows = dict(brief.rows)
    assert rows["full"].startswith("**.622") and rows["full"].endswith("▲") and rows["bias"].startswith(".420 ±")
    assert "▲" not in rows["bias"] + rows["linear"]
    (full,) = full_tables(table, "embedded")
    cells = dict(full.rows)
    assert full.marked == [table.labels.index("linear")] and full.groups == [("synthetic_derm", 1)]
    assert (cells["full"].text, cells["full"].kind, cells["full"].bold) == (".622", "ahead", True)
    assert cells["full"].below[0].startswith("+.202") and cells["full"].below[1].startswith("p ")
    assert cells["full"].to == "#" + anchor(table, "full", table.columns[0])
    assert not full_tables(table, "another") and not brief_table(table, "another").rows


def test_what_does_not_fit_goes_on_below_and_a_data_set_stays_together(tmp_path):
    shots = [1, 2, 3, 4, 5]
    sources = ["synthetic_derm", {"name": "synthetic_chest", "label": "chest"}]
    table = report_of(tmp_path / "s", shots=shots, sources=sources, methods=["linear"]).table
    tables = full_tables(table, "embedded")
    assert [sum(count for _, count in one.groups) for one in tables] == [10, 6] and MOST == 10
    assert [name for name, _ in tables[0].groups] == ["chest", "synthetic_derm"]
    assert tables[1].groups == [("mean over all data", 6)] and tables[1].head[-1] == "all shots"


def test_fewer_repetitions_are_said(tmp_path):
    methods = ["linear", {"method": "full", "label": "full", "samplings": 4}]
    report = report_of(tmp_path / "s", methods=methods)
    assert "full synthetic_derm, 5-shot (4 of 5)" in " ".join(how_to_read(report.sweep, report.table))
    (table,) = full_tables(report.table, "embedded")
    assert dict(table.rows)["full"].spread == "(4)"
