# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.synthetic.lesion_structures import clusters, fade, nests, network, scatter, streaks, vessel_tree
from monai_ept.synthetic.paint import Cells, Dice, Noise
from monai_ept.synthetic.skin import Scene, Shape


def scene_of(size=64):
    return Scene(Dice(0), size)


def test_places_lie_between_two_radii():
    u, v = scatter(Dice(0), 40, 0.3, 0.6)
    assert len(u) == len(v) == 40 and (u**2 + v**2 >= 0.3**2 - 1e-6).all() and (u**2 + v**2 <= 0.6**2 + 1e-6).all()
    assert scatter(Dice(0), 0, 0.3, 0.6)[0].shape == (0,)


def test_a_network_has_dark_lines_and_holes():
    lines = network(scene_of(), Cells(Dice(1), 0.3, 0.8), Noise(Dice(2), 0.5), 0.1, 0.05)
    assert lines.shape == (64, 64) and lines.min() == 0 and 0.4 < lines.max() < 1.3
    assert 0.05 < (lines > 0.3).mean() < 0.7


def test_vessels_branch_from_the_rim_inwards():
    thin, thick = (vessel_tree(Dice(3), scene_of(), 2, width, 1.0) for width in (0.02, 0.06))
    assert 0 < (thin > 0.5).mean() < (thick > 0.5).mean() < 0.5


def test_what_lies_deeper_is_less_sharp():
    cover = np.zeros((64, 64), np.float32)
    cover[32, 32] = 1
    once, more = fade(scene_of(), cover), fade(scene_of(), cover, 12)
    assert 1 > once.max() > more.max() > 0 and more.sum() == np.float32(1)


def test_streaks_lie_on_one_side_of_the_border():
    u, v, thick = streaks(Dice(0), Shape(Dice(1), 1.0, 0.0, 0.0, 0.1), (1.0, 0.0))
    assert len(u) % 26 == 0 and 9 <= len(u) // 26 <= 16
    assert u.mean() > 0.6 and thick.reshape(-1, 26)[:, -1].min() > thick.reshape(-1, 26)[:, 0].max() * 0.99
    assert np.hypot(u, v).min() > 0.6 and np.hypot(u, v).max() < 1.4


def test_nests_and_clusters_have_as_many_dots_as_they_should():
    u, v, radius = nests(Dice(0), 5)
    assert len(u) == 5 * 7 and np.hypot(u, v).max() < 0.95 and len(np.unique(radius)) == 5
    u, v = clusters(Dice(0), 3, 6)
    assert len(u) == 18 and np.hypot(u, v).max() <= 1.05
    assert all(np.ptp(group) < 0.7 for group in u.reshape(3, 6))
