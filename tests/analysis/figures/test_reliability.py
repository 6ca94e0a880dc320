# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.analysis.figures.reliability import draw_reliability


def test_each_title_says_the_error_of_its_own_probabilities():
    sure, half = np.tile([1.0, 0.0], (8, 1)), np.tile([0.5, 0.5], (8, 1))
    labels = np.array([0, 1] * 4)
    figure = draw_reliability({"as trained": sure, "temperature 9": half}, labels, "multiclass")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ["as trained: error 0.500", "temperature 9: error 0.000"]
    assert len(figure.axes) == 4 and len(figure.legends) == 1
