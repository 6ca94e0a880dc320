# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis.figures.class_features import count_narrower, draw_components, draw_densities, draw_neighbours


def scattered(classes: int, each: int = 12) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(classes), each)
    return np.random.default_rng(0).normal(size=(len(labels), 4)), labels


def test_only_the_class_that_was_pulled_together_is_narrower():
    features, labels = scattered(3)
    tuned = np.where((labels == 1)[:, None], features / 2, features * 2)
    assert count_narrower(features, tuned, labels, 3) == (1, 3)
    assert count_narrower(features, features * 4, labels, 3) == (0, 3)  # size is no width
    assert count_narrower(features[:13], features[:13], labels[:13], 3) == (0, 1)  # a single image has no width


def test_every_class_has_a_panel():
    features, labels = scattered(8)
    names = [f"class {k}" for k in range(9)]  # the last one without images
    for draw, panels in ((draw_components, 8), (draw_densities, 16)):
        figure = draw(features, features * 2, labels, names)
        shown = [axes for axes in figure.axes if axes.get_visible() and axes.axison]
        assert len(shown) == panels
        assert [axes.get_title(loc="left") for axes in shown if axes.get_title(loc="left")] == [
            f"class {k} (12)" for k in range(8)
        ]
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_subplotspec().is_first_col()]
    assert set(rows) == {"pretrained", "tuned"}


@pytest.mark.parametrize("length", [3, 12, 40])
def test_the_legend_of_many_classes_is_seen_whole(length):
    features, labels = scattered(19, each=2)
    points = features[:, :2]
    figure = draw_neighbours(points, points, labels, [f"{k}".ljust(length, "m") for k in range(19)], "t-SNE")
    figure.canvas.draw()
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0
