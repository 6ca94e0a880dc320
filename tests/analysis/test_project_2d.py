# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.analysis.project_2d import density_levels, first_component, plane, tsne, turned


def scattered() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 6)) * np.arange(1, 7)


def test_projections():
    features = scattered()
    line = first_component(features)
    assert line.var() == pytest.approx(np.linalg.eigvalsh(np.cov(features.T, bias=True))[-1])
    # Mirrored features are the same picture, since the sign follows from the loadings.
    np.testing.assert_allclose(np.abs(first_component(-features)), np.abs(line))
    assert first_component(np.ones((3, 4))).tolist() == [0, 0, 0]
    points = plane(features)
    np.testing.assert_allclose(points, plane(features * 7), rtol=1e-6)  # no unit
    assert points[:, 0].var() > points[:, 1].var() and plane(features[:, :1]).shape == (90, 2)


def test_two_projections_that_begin_alike_differ_only_where_the_features_do():
    """Mirrored features are as far from each other as before: begun at the same places they end at the same places."""
    features = scattered()[:40]
    start = plane(features)
    found = tsne(features, start)
    np.testing.assert_array_equal(tsne(-features, start), found)
    np.testing.assert_array_equal(tsne(features, 8 * start, seed=3), found)  # the start may have any size
    assert np.abs(tsne(features, start[::-1]) - found).max() > 1
    assert np.isfinite(tsne(np.ones((9, 4)), np.zeros((9, 2)))).all()


def test_a_projection_is_turned_and_not_stretched():
    points = plane(scattered())
    quarter = np.array([[0, -1], [1, 0]])
    np.testing.assert_allclose(turned(points @ quarter * [1, 1] + 3, points), points, atol=1e-9)
    np.testing.assert_allclose(turned(points * [-2, 2], points), points * 2, atol=1e-9)


def test_contours_hold_the_share_of_points_that_they_say():
    points = np.random.default_rng(0).normal(size=(400, 2)) * [2, 1]
    xs, ys = np.linspace(-9, 9, 120), np.linspace(-5, 5, 100)
    density, levels = density_levels(points, xs, ys)
    assert density.shape == (100, 120) and levels == sorted(levels)
    cell = (xs[1] - xs[0]) * (ys[1] - ys[0])
    assert density.sum() * cell == pytest.approx(1, abs=0.01)
    # Of a normal distribution, the region that holds half of it is known.
    assert (density >= levels[1]).sum() * cell == pytest.approx(2 * np.pi * 2 * np.log(2), rel=0.15)
    assert density_levels(points[:29], xs, ys) is None and density_levels(points[:30], xs, ys) is not None
    assert density_levels(np.stack([np.arange(20.0)] * 2, axis=1), xs, ys) is None
