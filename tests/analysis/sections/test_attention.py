# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.analysis import ScalingMaps
from monai_ept.analysis.sections.attention import about_kept


def maps_of(tokens: np.ndarray, prefix: float = 0.5) -> ScalingMaps:
    """Maps of two classes with one image each: ``tokens`` (images, layers, rows, columns), behind a class token."""
    images, layers, *grid = tokens.shape
    flat = np.concatenate([np.full((images, layers, 1), prefix), tokens.reshape(images, layers, -1)], axis=-1)
    return ScalingMaps(
        layers=list(range(layers)),
        num_prefix=1,
        grid=tuple(grid),
        total=flat.sum(axis=0),
        class_totals=flat,
        counts=np.ones(images, dtype=np.int64),
        patches=flat[..., 1:].mean(axis=-1),
        prefixes=flat[..., :1],
        images=images,
    )


def test_what_is_said_of_attention_follows_from_the_numbers():
    kept = np.full((2, 2, 4, 4), 0.8)
    kept[:, 1] = 0.6
    kept[1] += 0.1
    said = about_kept(maps_of(kept), ["one", "two"])
    assert "Patches keep 75 %" in said[0] and "the class token 50 %" in said[0]
    assert "Layer 2 damps them most (65 % kept), layer 1 least (85 %)" in said[1]
    assert "damped alike (75.0 % and 75.0 % kept)" in said[2]
    assert "at most 10.00 percentage points" in said[3] and "two keeps most (80.0 %), one least (70.0 %)" in said[3]


def test_the_middle_is_the_central_half_of_each_side():
    kept = np.full((2, 1, 4, 4), 0.8)
    kept[..., 1:3, 1:3] = 0.4
    said = about_kept(maps_of(kept), ["one", "two"])
    assert "The middle of the image is damped more than the rim: 40.0 % kept in the middle, 80.0 % at the" in said[1]
    assert "The rim of the image is damped more than the middle" in about_kept(maps_of(1 - kept), ["one", "two"])[1]
