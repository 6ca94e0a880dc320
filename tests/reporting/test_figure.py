# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.evaluation.confusion_matrix import draw_confusion_matrix
from monai_ept.reporting.figure import Picture, figure_of, save_figure

FORMULAS = ["$", "$x_{$", "a $ and $ b", r"$\no$", "$10^2$"]


@pytest.mark.parametrize("name", FORMULAS)
def test_what_looks_like_a_formula_is_drawn_as_written(name, tmp_path):
    figure = figure_of(3, 2)
    axes = figure.subplots()
    axes.plot([1, 2], [1, 2], label=name)
    axes.set_title(name)
    axes.set_xticks([1, 2], [name, "b"])
    axes.legend()
    save_figure(figure, tmp_path / "a.png")
    picture = Picture.drawn(["a"], "title", "caption", figure)
    assert (tmp_path / "a.png").stat().st_size and picture.svg
    assert name in [text.get_text() for text in axes.get_xticklabels()] and not axes.title.get_parse_math()


def test_ticks_of_matplotlib_stay_formulas(tmp_path):
    figure = figure_of(3, 2)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot([1, 1000], [1, 2])
    save_figure(figure, tmp_path / "a.png")
    labels = [text for text in axes.get_xticklabels() if "mathdefault" in text.get_text()]
    assert labels and all(text.get_parse_math() for text in labels)


@pytest.mark.parametrize("counts", [np.eye(5, dtype=int), np.ones((5, 2, 2), dtype=int)], ids=["classes", "labels"])
def test_classes_may_be_called_so(counts, tmp_path):
    draw_confusion_matrix(tmp_path, counts, FORMULAS)
