# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import betabinom

from monai_ept.metrics.conformal import (
    PredictionSets,
    calibrate,
    conformal_threshold,
    coverage_range,
    fewest_groups,
)

TENTHS = [0.3, 0.1, 0.9, 0.2, 0.5, 0.7, 0.4, 0.8, 0.6]


@pytest.mark.parametrize(
    ("scores", "coverage", "threshold"),
    [
        (TENTHS, 0.9, 0.9),  # the ceil(10 * 0.9) = 9th of nine
        (TENTHS, 0.85, 0.9),  # ceil(8.5)
        (TENTHS, 0.8, 0.8),
        (TENTHS[:8], 0.9, math.inf),  # there is no ceil(9 * 0.9) = 9th of eight
        ([0.01 * i for i in range(1, 100)], 0.9, 0.9),  # the 90th of 99
    ],
)
def test_the_threshold_is_the_usual_quantile(scores, coverage, threshold):
    assert conformal_threshold(scores, range(len(scores)), coverage) == threshold


@pytest.mark.parametrize(
    ("coverage", "threshold"), [(0.25, 0.2), (0.375, 0.3), (0.6, 0.5), (0.75, 0.9), (0.8, math.inf)]
)
def test_images_of_a_group_weigh_as_much_as_one(coverage, threshold):
    # In the order of scores they weigh 1/2, 1/2, 1/2, 1 and 1/2, and are to reach 4 times the coverage.
    scores, groups = [0.1, 0.9, 0.5, 0.2, 0.3], ["a", "a", "b", "c", "c"]
    assert conformal_threshold(scores, groups, coverage) == threshold


def test_how_many_groups_it_takes():
    assert [fewest_groups(coverage) for coverage in (0.5, 0.9, 0.95, 0.99)] == [1, 9, 19, 99]
    for coverage in (0.9, 0.95):
        least = fewest_groups(coverage)
        assert conformal_threshold([0.5] * least, range(least), coverage) == 0.5
        assert conformal_threshold([0.5] * (least - 1), range(least - 1), coverage) == math.inf


def test_the_luck_of_a_calibration():
    assert coverage_range(0.9, 9) == pytest.approx((0.025 ** (1 / 9), 0.975 ** (1 / 9)))  # Beta(9, 1): x to the 9th
    low, high = coverage_range(0.9, 999)
    assert 0.88 < low < 0.9 < high < 0.92


def test_sets_of_classes():
    sets = PredictionSets(0.9, 0.5, groups=20, images=20, source="validation")
    held, sure = sets.decide(np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [0.4, 0.35, 0.25]]), "multiclass")
    assert held.tolist() == [[True, False, False], [True, True, False], [True, False, False]]
    assert sure.tolist() == [True, False, False], "none of the last image's classes is probable enough"


def test_yes_no_and_not_sure_of_labels():
    sets = PredictionSets(0.9, (0.7, 0.2), groups=20, images=20, source="validation")
    held, sure = sets.decide(np.array([[0.8, 0.9], [0.5, 0.5], [0.2, 0.1]]), "multilabel")
    assert held.tolist() == [[True, True], [True, True], [False, False]]
    # Of the second image, both answers of the first label are probable enough, and neither of the other.
    assert sure.tolist() == [[True, True], [False, False], [True, True]]


def test_too_few_groups_promise_nothing():
    sets = calibrate(np.full((8, 3), 1 / 3), np.zeros(8), range(8), task="multiclass", source="left out")
    assert (sets.threshold, sets.groups) == (None, 8)
    for task in ("multiclass", "multilabel"):
        held, sure = sets.decide(np.array([[0.99, 0.01, 0.0]]), task)
        assert held.all() and not sure.any()


def test_each_label_has_its_threshold():
    probabilities = np.stack([np.linspace(0.1, 0.9, 9), np.full(9, 0.3)], axis=1)
    labels = np.stack([np.ones(9), np.zeros(9)], axis=1)
    sets = calibrate(probabilities, labels, range(9), task="multilabel", source="validation")
    assert sets.threshold == pytest.approx((0.9, 0.3))
    assert PredictionSets.from_record(sets.record, 2) == sets
    with pytest.raises(ValueError, match="must have 3 thresholds"):
        PredictionSets.from_record(sets.record, 3)


class TestCoverage:
    """At 90 %, over 20 samplings of calibration and test images."""

    def covered(self, seed, groups, images):
        """Whether sets hold the class of each test image of three classes, which overlap; calibrated on ``groups``."""
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, groups + images)
        logits = 1.5 * np.eye(3)[labels] + rng.normal(size=(groups + images, 3))
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        first, rest = slice(groups), slice(groups, None)
        sets = calibrate(probabilities[first], labels[first], range(groups), task="multiclass", source="validation")
        held, _ = sets.decide(probabilities[rest], "multiclass")
        return held[np.arange(images), labels[rest]]

    @pytest.mark.parametrize(("groups", "rank"), [(19, 18), (70, 64), (199, 180)])
    def test_is_what_is_exact_for_single_images(self, groups, rank):
        number, samplings = 2000, 20
        counts = np.asarray([self.covered(seed, groups, number).sum() for seed in range(samplings)])
        law = betabinom(number, rank, groups + 1 - rank)
        low, high = law.ppf([0.0005 / samplings, 1 - 0.0005 / samplings])
        assert (counts >= low).all() and (counts <= high).all()
        assert abs(counts.mean() - law.mean()) < 3.3 * law.std() / math.sqrt(samplings)

    def test_holds_for_new_patients_where_images_belong_together(self):
        """One patient in five has 40 images that are easy, the others have a hard one each."""
        shares, pooled = [], []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            many = rng.random(400) < 0.2
            groups = np.repeat(np.arange(400), np.where(many, 40, 1))
            truth = np.where(many[groups], 0.9, rng.random(len(groups)))
            probabilities, labels = np.stack([truth, 1 - truth], axis=1), np.zeros(len(groups), dtype=int)
            known = groups < 200
            of_known = probabilities[known], labels[known]
            for found, names in ((shares, groups[known]), (pooled, range(known.sum()))):
                sets = calibrate(*of_known, names, task="multiclass", source="validation")
                held = sets.decide(probabilities[~known], "multiclass")[0][:, 0]
                of_patients = np.bincount(groups[~known] - 200, held) / np.bincount(groups[~known] - 200)
                found.append(of_patients.mean())
        law = betabinom(200, 181, 20)
        assert abs(np.mean(shares) - law.mean() / 200) < 3.3 * law.std() / 200 / math.sqrt(20)
        assert np.mean(pooled) < 0.6, "pooling images would promise what it does not keep"
