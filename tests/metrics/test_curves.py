# SPDX-License-Identifier: Apache-2.0

"""ROC and precision-recall curves, by hand and beside scikit-learn's areas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from monai_ept.metrics import group_weights
from monai_ept.metrics.curves import curves_of


def test_both_curves_by_hand():
    """Four images: with, without, with, without. Sensitivity .5 costs nothing; all of it costs half the others."""
    found = curves_of(np.array([0.9, 0.7, 0.4, 0.2]), np.array([True, False, True, False]))
    at = {round(float(x), 2): index for index, x in enumerate(found.roc.x)}

    assert found.roc.y[at[0.0]] == 0.5  # straight up
    assert found.roc.y[at[0.49]] == 0.5
    assert found.roc.y[at[0.5]] == 1.0 and found.roc.y[at[1.0]] == 1.0
    assert found.roc.area.value == 0.75
    assert found.precision_recall.y[at[0.5]] == 1.0
    assert found.precision_recall.y[at[0.51]] == pytest.approx(2 / 3)
    assert found.precision_recall.area.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.share == 0.5
    assert np.isnan(found.roc.low).all()


def test_images_of_one_score_are_passed_together():
    """A network that says the same of every image has a diagonal, and the precision of guessing."""
    found = curves_of(np.full(8, 0.5), np.arange(8) < 2, weights=group_weights(range(8), 20, seed=0))

    np.testing.assert_allclose(found.roc.y, found.roc.x)
    assert found.roc.area == (0.5, 0.5, 0.5)
    assert np.unique(found.precision_recall.y) == [0.25]


def test_areas_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.2
    scores = np.round(rng.random(300) + 0.4 * truth, 2)  # with ties
    found = curves_of(scores, truth)

    assert found.roc.area.value == pytest.approx(roc_auc_score(truth, scores))
    assert found.precision_recall.area.value == pytest.approx(average_precision_score(truth, scores))


def test_the_band_holds_the_curve_and_follows_patients():
    rng = np.random.default_rng(1)
    truth = rng.random(200) < 0.4
    scores = rng.normal(size=200) + truth
    found = curves_of(scores, truth, weights=group_weights(range(200), 250, seed=0))

    inside = (found.roc.low <= found.roc.y) & (found.roc.y <= found.roc.high)
    assert inside.all() and found.roc.area.low < found.roc.area.value < found.roc.area.high
    wide = curves_of(scores, truth, weights=group_weights((np.arange(200) // 20).tolist(), 250, seed=0))
    assert wide.roc.area.high - wide.roc.area.low != found.roc.area.high - found.roc.area.low


def test_one_kind_of_images_has_no_curve():
    assert curves_of(np.array([0.1, 0.2]), np.array([True, True])) is None
