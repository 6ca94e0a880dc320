# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.evaluation import curve_files
from monai_ept.evaluation.curve_files import draw_curves, write_curves
from monai_ept.metrics.curves import curves_of
from tests.evaluation.predictions import figure_of_file, read

TRUTH = np.array([0, 0, 1, 1], dtype=bool)
SCORES = np.array([0.1, 0.4, 0.35, 0.8])  # AUC .75: of four pairs one is the wrong way round


def curves(*names):
    return {name: curves_of(SCORES, TRUTH) for name in names}


def test_the_table_has_every_point_of_both_curves(tmp_path):
    found = curves("=mel", "nv")
    rows = read(write_curves(tmp_path, found))
    assert len(rows) == 2 * 2 * len(found["nv"].roc.x)
    assert {row["class"] for row in rows} == {"'=mel", "nv"}  # which no spreadsheet takes for a formula
    roc = [row for row in rows if (row["class"], row["curve"]) == ("nv", "roc")]
    assert [float(row["y"]) for row in roc] == found["nv"].roc.y.tolist()
    assert {row["low"] for row in roc} == {""}  # no bootstrap


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_a_class_has_a_column_with_its_areas(tmp_path, monkeypatch):
    figure = figure_of_file(monkeypatch, curve_files, lambda: draw_curves(tmp_path, curves("mel", "nv")))
    assert [title for title in titles(figure) if "AUC" in title] == ["mel\nAUC 0.75", "nv\nAUC 0.75"]
    assert (tmp_path / "curves.png").is_file()


def test_the_class_that_is_looked_for_stands_alone_with_its_threshold(tmp_path, monkeypatch):
    at = {"sensitivity": 0.5, "specificity": 1.0, "ppv": 1.0}
    positive = {"class": "mel", "threshold": 0.5, "metrics": {name: {"value": value} for name, value in at.items()}}
    figure = figure_of_file(monkeypatch, curve_files, lambda: draw_curves(tmp_path, curves("mel", "nv"), positive))
    roc, precision = figure.axes
    assert titles(figure)[0] == "mel\nAUC 0.75" and "claimed from 0.50 on" in roc.get_legend().get_texts()[0].get_text()
    dots = [axes.lines[-1].get_xydata()[0].tolist() for axes in (roc, precision)]
    assert dots == [pytest.approx([0.0, 0.5]), pytest.approx([0.5, 1.0])]
