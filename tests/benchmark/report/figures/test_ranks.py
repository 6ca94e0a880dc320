# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.figures.ranks import draw_ranks
from tests.benchmark.report.report_folder import BASE, write_sweep


@pytest.mark.parametrize("metric", ["balanced_accuracy", "ece"])
def test_each_panel_goes_from_best_to_worst_by_its_own_scores(metric, tmp_path):
    def score(cell):  # on one data set full is the best with one shot and the worst with five
        gain = {"ept": 0.2, "linear": 0.0, "full": 0.3 if cell.shots == 1 else -0.1}[cell.name]
        return 0.4 + gain + cell.sampling / 100

    content = {**BASE, "shots": [1, 5], "samplings": 5, "methods": ["linear", "ept", "full"]}
    write_sweep(tmp_path / "s", content, score)
    table = build_report(read_folder(tmp_path / "s"), metric=metric, figures=False).table
    figure = draw_ranks(table, metric, lambda found: f"text of {found.label}")
    orders = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes]
    assert orders == [["full", "ept", "linear"], ["ept", "linear", "full"]]
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["dashed: linear"] * 2
    for axes, order in zip(figure.axes, orders, strict=True):
        assert [text.get_text() for text in axes.texts] == [f"text of {label}" for label in order]
        (dashed,) = (line for line in axes.lines if line.get_linestyle() == "--")
        column = table.columns[figure.axes.index(axes)]
        assert dashed.get_xdata()[0] == table.scores["linear", column].score.mean
    spans = [high - low for low, high in (axes.get_xlim() for axes in figure.axes)]
    assert spans[0] == pytest.approx(spans[1])
