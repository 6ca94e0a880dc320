# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np

from monai_ept.synthetic.paint import Cells, Dice, Noise, blur, curve, joined, mix, smooth, stamp, to_bytes

AXIS = np.arange(24, dtype=np.float32) / 8
U, V = np.broadcast_to(AXIS, (24, 24)), np.broadcast_to(AXIS[:, None], (24, 24))


def test_dice_of_one_key_fall_alike_and_keep_their_promises():
    one, same, other = Dice(0, 1), Dice(0, 1), Dice(0, 2)
    thrown = [(dice.between(2, 3), dice.array(3).tolist()) for dice in (one, same, other)]
    assert thrown[0] == thrown[1] != thrown[2] and 2 <= thrown[0][0] < 3
    assert {one.whole(2, 4) for _ in range(60)} == {2, 3, 4}
    assert {one.pick("abc", (1, 0, 3)) for _ in range(60)} == {"a", "c"} and {one.pick("ab") for _ in range(30)} == {
        *"ab"
    }
    assert all(abs(one.bell(2.0)) <= 7 for _ in range(50)) and one.chance(1.0) and not one.chance(0.0)
    for _ in range(20):
        assert math.hypot(*one.direction()) == 1 or abs(math.hypot(*one.direction()) - 1) < 1e-12
        assert math.hypot(*one.in_disc(0.5)) <= 0.5


def test_a_step_and_a_mixture_by_hand():
    assert smooth(np.array([0.0, 1.0, 1.5, 2.0, 9.0]), 1.0, 2.0).tolist() == [0, 0, 0.5, 1, 1]
    assert mix(2.0, 4.0, np.array([0.0, 0.25, 1.0])).tolist() == [2.0, 2.5, 4.0]


def test_noise_is_smooth_and_about_as_large_as_one():
    for octaves in (1, 3):
        field = Noise(Dice(0), 1.0, octaves)(U, V)
        assert field.shape == (24, 24) and field.dtype == np.float32 and 0.1 < np.abs(field).max() < 2
        assert np.abs(np.diff(field, axis=1)).max() < 0.9
    depth = Noise(Dice(0), 1.0, spatial_dims=3)(*np.meshgrid(AXIS[:4], AXIS[:5], AXIS[:6], indexing="ij"))
    assert depth.shape == (4, 5, 6)


def test_cells_without_jitter_are_a_honeycomb():
    nearest, wall, tone = Cells(Dice(0), 1.0, 0.0)(U, V)
    assert nearest.min() >= 0 and nearest.max() <= 0.8 and wall.min() >= 0 and wall.max() <= 0.56
    assert tone.min() >= 0 and tone.max() < 1 and len(np.unique(tone)) > 6


def test_a_line_begins_and_ends_where_it_should():
    x, y = curve((0.0, 0.0), (1.0, 0.0), 0.2, 0.0, Dice(0), 5)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 0)
    assert y[2] == np.float32(0.2)  # as far as it bends, in its middle
    both = joined([(x, y), (x + 1, y)])
    assert [len(part) for part in both] == [10, 10] and both[0][5:].tolist() == (x + 1).tolist()


def test_a_dot_covers_what_lies_in_it():
    cover = stamp((9, 9), np.array([4.5]), np.array([4.5]), 2.0)
    assert cover[4, 4] == 1 and cover[0, 0] == 0 and cover[4].tolist() == cover[:, 4].tolist()
    assert 11 < cover.sum() < 15  # about 4 π
    assert stamp((9, 9), np.array([4.5]), np.array([4.5]), 2.0, 0.5).max() == 0.5
    assert stamp((9, 9), np.array([-50.0]), np.array([4.5]), 2.0).max() == 0
    assert stamp((9, 9), np.array([]), np.array([]), 2.0).shape == (9, 9)


def test_a_blur_spreads_and_loses_nothing_inside():
    image = np.zeros((1, 7, 7), np.float32)
    image[0, 3, 3] = 16
    assert blur(image)[0, 2:5, 2:5].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert np.array_equal(blur(np.full((2, 5, 5), 0.5, np.float32), 3), np.full((2, 5, 5), 0.5, np.float32))


def test_bytes_are_rounded_and_channels_come_last():
    assert to_bytes(np.array([[-1.0, 0.5, 2.0]])).tolist() == [[0, 128, 255]]
    assert to_bytes(np.zeros((3, 4, 5))).shape == (4, 5, 3)
