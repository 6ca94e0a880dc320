# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from tools.pretrain.tissue import stain, tissue


def test_tissue_fills_the_square_and_follows_from_its_numbers():
    drawn = [tissue(np.random.default_rng(seed), 96) for seed in range(40)]
    for field in drawn:
        assert field.shape == (96, 96) and np.isfinite(field).all()
        assert field.min() >= 0 and field.max() <= 1 and field.std() > 0.02
    assert tissue(np.random.default_rng(7), 96).tobytes() == drawn[7].tobytes()
    assert len({field.tobytes() for field in drawn}) == 40


def test_most_of_it_is_bright_with_dark_nuclei():
    upright = [field for seed in range(40) if np.median(field := tissue(np.random.default_rng(seed), 128)) > 0.45]
    assert len(upright) > 25
    dark = [(field < 0.3).mean() for field in upright]
    assert 0.005 < np.median(dark) < 0.3 and np.mean([share > 0 for share in dark]) > 0.9


@pytest.mark.parametrize("size", [16, 33, 224])
def test_any_size(size):
    for seed in range(20):
        assert tissue(np.random.default_rng(seed), size).shape == (size, size)


def test_stains_go_from_dark_to_light_and_are_mostly_purple_and_pink():
    stains = np.stack([stain(np.random.default_rng(seed)) for seed in range(200)])
    assert stains.shape == (200, 4, 3) and stains.min() >= 0 and stains.max() <= 1
    brightness = stains.mean(axis=2)
    assert (np.diff(brightness.mean(axis=0)) > 0.05).all() and (brightness[:, 3] > brightness[:, 0]).all()
    hues = np.array([colorsys.rgb_to_hsv(*colours[0])[0] for colours in stains])
    assert ((hues > 0.65) & (hues < 0.95)).mean() > 0.6
