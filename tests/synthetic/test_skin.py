# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.synthetic.paint import Dice
from monai_ept.synthetic.skin import YELLOW_BROWN, Scene, Shape, paint_hairs, paint_skin, through_lens


def scene_of(seed=0, size=48):
    return Scene(Dice(seed), size)


def test_places_of_the_lesion_lie_where_their_pixels_are():
    for seed in range(4):
        scene = scene_of(seed)
        x, y = scene.pixels(scene.u, scene.v)
        middles = np.arange(48) + 0.5
        np.testing.assert_allclose(x, np.broadcast_to(middles, (48, 48)), atol=1e-3)
        np.testing.assert_allclose(y, np.broadcast_to(middles[:, None], (48, 48)), atol=1e-3)
        assert scene.away((0.0, 0.0)).argmin() == (scene.u**2 + scene.v**2).argmin()


def test_a_pigment_takes_light_away_and_paint_covers():
    scene = scene_of()
    scene.picture[:] = 0.5
    scene.filter(YELLOW_BROWN, np.ones((48, 48)))
    np.testing.assert_allclose(scene.picture[:, 0, 0], 0.5 * np.array(YELLOW_BROWN), rtol=1e-6)
    scene.cover((1.0, 0.0, 0.0), np.ones((48, 48)))
    assert scene.picture[0].min() == 1 and scene.picture[1:].max() == 0


def test_the_outline_is_an_ellipse_that_is_bent_and_torn():
    scene = scene_of()
    plain = Shape(Dice(1), stretch=1.0, lobes=0.0, ragged=0.0, soft=0.1)
    np.testing.assert_allclose(plain.depth(scene), 1 - np.sqrt(scene.u**2 + scene.v**2), atol=1e-5)
    inside = plain.inside(plain.depth(scene))
    assert inside.min() == 0 and inside.max() == 1
    bent = Shape(Dice(1), stretch=1.0, lobes=0.3, ragged=0.2, soft=0.1)
    assert np.abs(bent.depth(scene) - plain.depth(scene)).max() > 0.05


def test_skin_is_light_and_red_and_no_two_patients_are_alike():
    means = []
    for patient in range(3):
        scene = scene_of()
        paint_skin(Dice(patient), scene)
        red, green, blue = scene.picture.mean(axis=(1, 2))
        assert 1 > red > green > blue > 0.2
        means.append(red)
    assert len(set(means)) == 3


def test_hairs_darken_and_a_lens_keeps_the_size():
    covered = 0
    for view in range(6):
        scene = scene_of()
        scene.picture[:] = 0.9
        paint_hairs(Dice(view), scene)
        assert scene.picture.max() <= np.float32(0.9)
        covered += scene.picture.min() < 0.8
        seen = through_lens(Dice(view), scene)
        assert seen.shape == (3, 48, 48) and np.isfinite(seen).all()
    assert 0 < covered < 6  # some lesions have hair over them
