# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.reporting.axes import equal_spans, place_labels, within_scores
from monai_ept.reporting.figure import panels


def test_labels_that_would_collide_stand_apart():
    placed = place_labels([0.5, 0.1, 0.52, 0.51, 0.9], 0.1)
    order = np.argsort(placed)
    assert list(order) == [1, 0, 3, 2, 4] and np.diff(np.asarray(placed)[order]).min() >= 0.1 - 1e-9
    assert placed[1] == 0.1 and placed[4] == 0.9 and placed[3] == pytest.approx(0.51)
    assert place_labels([0.99, 1.0], 0.1, low=0.0, high=1.0) == pytest.approx([0.9, 1.0])


def test_panels_show_slopes_that_can_be_compared():
    figure, grid = panels(3, 2, 2, 2)
    assert grid.shape == (3, 1) and figure.get_size_inches().tolist() == [4, 4]
    for axes, (low, high) in zip(grid.flat, [(0.2, 0.4), (0.9, 1.0), (0.1, 0.2)], strict=True):
        axes.set_ylim(low, high)
    equal_spans(list(grid.flat), top=1.0)
    limits = [axes.get_ylim() for axes in grid.flat]
    assert limits == [pytest.approx(pair) for pair in [(0.2, 0.4), (0.8, 1.0), (0.05, 0.25)]]


def test_an_axis_of_scores_ends_where_scores_do():
    _, grid = panels(2, 2, 2, 2)
    for axes in grid.flat:
        axes.set_ylim(-0.5, 1.5)
    within_scores(grid.flat[0], [0.1, 1.0])
    within_scores(grid.flat[1], [-0.2, 1.2])
    assert grid.flat[0].get_ylim() == (0.0, 1.02) and grid.flat[1].get_ylim() == (-0.5, 1.5)
