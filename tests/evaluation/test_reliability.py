# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.evaluation import reliability
from monai_ept.evaluation.reliability import draw_reliability, plot_reliability
from monai_ept.metrics import classification_metrics
from monai_ept.reporting.figure import panels
from tests.evaluation.predictions import figure_of_file, table_of


def test_a_figure_of_few_images_leaves_pyplot_alone(tmp_path):
    one = np.array([[1.0, 0.0]])
    assert draw_reliability(tmp_path, one, np.array([0]), "multiclass").stat().st_size > 5000
    import matplotlib

    assert "matplotlib.pyplot" not in dir(matplotlib) or not matplotlib.pyplot.get_fignums()


def test_the_legend_hides_nothing(tmp_path, monkeypatch):
    table = table_of(40)
    arguments = (tmp_path, table.probabilities, table.labels, "multiclass")
    figure = figure_of_file(monkeypatch, reliability, lambda: draw_reliability(*arguments))
    figure.canvas.draw()
    (legend,) = figure.legends
    assert all(axes.get_legend() is None for axes in figure.axes)
    assert not any(legend.get_window_extent().overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_the_error_in_the_title_is_that_of_the_metrics():
    table = table_of(40)
    _, grid = panels(1, 1, 4, 2, rows_each=2)
    error = plot_reliability(*grid[0], table.probabilities, table.labels, "multiclass")
    metrics = classification_metrics(table.probabilities, table.labels, inputs="probabilities")
    assert error == pytest.approx(metrics["ece"], abs=1e-6)
    assert f"error {error:.3f}" in grid[0, 0].get_title(loc="left")
