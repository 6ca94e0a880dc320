# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.synthetic.chest_anatomy import Body, paint_anatomy
from monai_ept.synthetic.paint import Dice


def painted(*findings, patient=0, size=64):
    body = Body((0, patient), Dice(7), findings, size)
    paint_anatomy(body)
    return body


def test_places_lie_where_their_pixels_are():
    body = Body((0, 1), Dice(3), (), 32)
    x, y = body.pixels(body.x, body.y)
    middles = np.arange(32) + 0.5
    np.testing.assert_allclose(x, np.broadcast_to(middles, (32, 32)), atol=1e-3)
    np.testing.assert_allclose(y, np.broadcast_to(middles[:, None], (32, 32)), atol=1e-3)


def test_air_is_darker_than_flesh_and_the_lungs_lie_beside_each_other():
    body = painted()
    right, left = body.lungs[-1] > 0.9, body.lungs[1] > 0.9
    assert right.mean() > 0.05 and left.mean() > 0.05 and not (right & left).any()
    assert body.x[right].max() < 0 < body.x[left].min()
    spine = (np.abs(body.x) < 0.05) & (np.abs(body.y) < 0.3)
    assert body.density[right | left].mean() < 0.8 * body.density[spine].mean()
    for side in (1, -1):
        x, y = body.in_lung(side)
        assert np.sign(x) == side and body.lungs[side].flat[body.away(x, y).argmin()] > 0.5


@pytest.mark.parametrize("finding", ["cardiomegaly", "emphysema", "elevated_diaphragm"])
def test_a_finding_changes_its_own_patient(finding):
    plain, found, other = painted(), painted(finding), painted(patient=1)
    assert found.has(finding) and not plain.has(finding)
    changed = np.abs(found.density - plain.density) > 0.02
    assert 0.005 < changed.mean() < 0.6
    assert np.abs(other.density - plain.density).mean() > 0.003


def test_shadows_are_soft_where_they_should_be():
    body = painted()
    sharp, soft = body.blob(0.0, 0.0, 0.3, 0.05), body.blob(0.0, 0.0, 0.3, 0.9)
    assert sharp.max() == soft.max() == 1 and sharp.min() == soft.min() == 0
    assert ((soft > 0) & (soft < 1)).sum() > 4 * ((sharp > 0) & (sharp < 1)).sum()
    assert 0 < body.dots(np.array([0.0]), np.array([0.0]), 0.1).max() <= 1
