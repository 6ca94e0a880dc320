# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis import Change, Features
from monai_ept.analysis.distances import compare_widths
from monai_ept.analysis.sections.features import (
    about_distances,
    along_main_direction,
    draw_components,
    draw_densities,
    draw_neighbours,
    features_section,
)
from monai_ept.analysis.sections.output import Output

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
    assert "fell by 12.0 %, from 100 to 88; the spread of all images together fell by 10.0 %." in said[0]
    assert "classes became tighter: 83.3 % of it lies within classes before, 81.5 % after" in said[1]
    assert "difference −1.8 points, 95 % interval −3.0 to −1.0" in said[1]
    assert "is not told apart, from 0.100 to 0.050" in said[2]
    assert "before and after are not told apart: balanced" in said[3] and "guessing gives 0.250" in said[3]
    assert (
        "rose from 0.1000 to 0.1004 (difference +0.0004, 95 % interval +0.0003 to"
        in about_distances({**CHANGES, "silhouette": Change(0.1, 0.1004, 0.0003, 0.0005)}, 4)[2]
    )
    assert "fell from 0.100" in about_distances({**CHANGES, "silhouette": Change(0.1, 0.05, -0.1, -0.02)}, 4)[2]
    assert "does better:" in about_distances({**CHANGES, "separability": Change(0.5, 0.6, 0.01, 0.2)}, 4)[3]
    other = {**CHANGES, "within": Change(100, 110, -1, 30), "within_share": Change(0.8, 0.801, -0.01, 0.02)}
    said = about_distances(other, 4)
    assert "rose by 10.0 %, from 100 to 110 (not told apart);" in said[0]
    assert "before and after are not told apart: 80.00 %" in said[1] and "tighter" not in " ".join(said)
    assert "looser" in about_distances({**CHANGES, "within_share": Change(0.8, 0.9, 0.05, 0.12)}, 4)[1]
    same = {name: Change(1.0, 1.0, 0.0, 0.0) for name in CHANGES}
    said = about_distances(same, 4)
    assert "did not change" in said[0] and all("not told apart" in one for one in said[1:])


def section_of(counts: list[int], folder, draw: bool = False):
    """The section on classes of so many images, pulled together to half their width by tuning."""
    classes = np.repeat(np.arange(len(counts)), counts)
    pretrained = np.random.default_rng(0).normal(size=(len(classes), 4)) + 3 * classes[:, None]
    means = np.stack([pretrained[classes == k].mean(axis=0) for k in range(len(counts))])[classes]
    names = [f"c{k}" for k in range(len(counts))]
    ids = [str(index) for index in range(len(classes))]
    features = Features(ids, ids, classes, pretrained, means + (pretrained - means) / 2, np.zeros((len(ids), 3)))
    folder.mkdir()
    return features_section(Output(folder, draw), features, classes, names, task="multiclass", seed=0)


def test_classes_of_fewer_than_five_images_are_left_out_and_named(tmp_path):
    with_rare, changes = section_of([40, 5, 4], tmp_path / "a")
    without, same = section_of([40, 5], tmp_path / "b")
    assert changes["within"].tuned == pytest.approx(same["within"].tuned, rel=0.2) and changes.keys() == same.keys()
    assert with_rare.sentences[-1].endswith("not measured or drawn by class: c2 (4).")
    assert "guessing gives 0.500" in " ".join(with_rare.sentences)
    assert len(with_rare.sentences) == len(without.sentences) + 1
    rows = (tmp_path / "a" / "per_class.csv").read_text().splitlines()
    assert rows[3].startswith("c2,4,,")
    section, nothing = section_of([40, 4, 4], tmp_path / "c")
    assert nothing == {} and "that takes two classes of 5 images each" in section.sentences[0]


def scattered(classes: int, each: int = 12) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(classes), each)
    return np.random.default_rng(0).normal(size=(len(labels), 4)), labels


def test_each_position_is_in_units_of_the_total_spread():
    features, labels = scattered(3)
    positions = along_main_direction(features, features * 4, labels, 4)
    assert positions.keys() == {0, 1, 2}
    for before, after in positions.values():
        np.testing.assert_allclose(before, after)  # size is no width
    assert along_main_direction(features[:13], features[:13], labels[:13], 3).keys() == {0}  # one image has no width


def test_only_what_the_interval_tells_is_called_narrower():
    features, labels = scattered(2, each=40)
    positions = along_main_direction(features, features, labels, 2)
    widths = {0: Change(1.0, 0.9, -0.2, 0.1), 1: Change(1.0, 0.5, -0.6, -0.4)}
    figure = draw_components(positions, widths, ["one", "two"])
    assert [axes.texts[0].get_text() for axes in figure.axes] == [
        "1.00 → 0.90, not told apart",
        "1.00 → 0.50, narrower",
    ]
    figure = draw_components(positions, {0: Change(1.0, 1.5, 0.1, 0.9), 1: widths[1]}, ["one", "two"])
    assert figure.axes[0].texts[0].get_text().endswith("wider")


def test_few_images_are_dots_and_many_a_histogram():
    features, labels = scattered(2, each=30)
    labels[30] = 0  # 31 images and 29
    positions = along_main_direction(features, features, labels, 2)
    figure = draw_components(positions, compare_widths(positions, labels, list(map(str, labels))), ["one", "two"])
    many, few = figure.axes
    assert len(many.patches) > 6 and not many.collections
    assert [len(dots.get_offsets()) for dots in few.collections] == [29, 29] and not few.patches


def test_every_class_has_a_panel():
    features, labels = scattered(8)
    names = [f"class {k}" for k in range(9)]  # the last one without images
    positions = along_main_direction(features, features * 2, labels, 9)
    widths = compare_widths(positions, labels, [str(index) for index in range(len(labels))])
    components = draw_components(positions, widths, names)
    densities = draw_densities(features, features * 2, labels, names)
    for figure, panels in ((components, 8), (densities, 16)):
        shown = [axes for axes in figure.axes if axes.get_visible() and axes.axison]
        assert len(shown) == panels
        assert [axes.get_title(loc="left") for axes in shown if axes.get_title(loc="left")] == [
            f"class {k} (12)" for k in range(8)
        ]
    rows = [axes.get_ylabel() for axes in densities.axes if axes.get_subplotspec().is_first_col()]
    assert set(rows) == {"pretrained", "tuned"}


@pytest.mark.parametrize("length", [3, 12, 40])
def test_the_legend_of_many_classes_is_seen_whole(length):
    features, labels = scattered(19, each=2)
    points = features[:, :2]
    figure = draw_neighbours(points, points, labels, [f"{k}".ljust(length, "m") for k in range(19)], "t-SNE")
    figure.canvas.draw()
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0
