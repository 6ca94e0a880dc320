# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis import Change
from monai_ept.analysis.sections.features import (
    about_distances,
    count_narrower,
    draw_components,
    draw_densities,
    draw_neighbours,
)

CHANGES = {
    "within": Change(100.0, 88.0, -13.0, -10.0),
    "between": Change(20.0, 20.0, -1.0, 1.0),
    "total": Change(120.0, 108.0, -13.0, -10.0),
    "within_share": Change(0.833, 0.815, -0.03, -0.01),
    "silhouette": Change(0.1, 0.05, -0.1, 0.02),
    "separability": Change(0.5, 0.6, -0.01, 0.2),
}


def test_what_is_said_of_distances_follows_from_the_numbers():
    said = about_distances(CHANGES, 4)
    assert "fell by 12.0 %, from 100 to 88; the spread of all images together fell by 10.0 %" in said[0]
    assert "classes became tighter: 83.3 % of it lies within classes before, 81.5 % after" in said[1]
    assert "difference −1.8 points, 95 % interval −3.0 to −1.0" in said[1]
    assert "fell from 0.100 to 0.050" in said[2]
    assert "does as well as before, as far as" in said[3] and "guessing gives 0.250" in said[3]
    assert "no clear change" in said[2]
    assert "does better:" in about_distances({**CHANGES, "separability": Change(0.5, 0.6, 0.01, 0.2)}, 4)[3]
    other = {**CHANGES, "within": Change(100, 110), "within_share": Change(0.8, 0.81, -0.01, 0.02)}
    said = about_distances(other, 4)
    assert "rose by 10.0 %" in said[0] and "no clear change" in said[1] and "tighter" not in " ".join(said)
    assert "looser" in about_distances({**CHANGES, "within_share": Change(0.8, 0.9, 0.05, 0.12)}, 4)[1]
    same = {name: Change(1.0, 1.0, 0.0, 0.0) for name in CHANGES}
    said = about_distances(same, 4)
    assert "did not change" in said[0] and "does as well as before" in said[3] and "stayed" in said[2]


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
