# SPDX-License-Identifier: Apache-2.0

"""Two models on the same images, with cases worked by hand and permutations that need no formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from monai_ept.metrics import Interval, classification_metrics, compare_models


def two_columns(positive):
    return np.stack([1 - np.asarray(positive), positive], axis=1)


def scored(positives, negatives, seed, sharpness=1.0):
    """Labels, and the correlated scores of two models of which the second is sharper."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.ones(positives, int), np.zeros(negatives, int)]
    shared = rng.normal(size=len(labels))
    first, second = (
        1 / (1 + np.exp(-(separation * labels + shared + rng.normal(size=len(labels)))))
        for separation in (1, sharpness)
    )
    return labels, two_columns(first), two_columns(second)


def test_mcnemar_worked_by_hand():
    """
    Eight images: only the second model is right on six, only the first on one, both on the last.

    P(at most 1 or at least 6 of 7) = 2 · (1 + 7) / 128 = .125, and the difference is 5 / 8.
    """
    first = two_columns([0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.9])
    second = two_columns([0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9])
    found = compare_models(first, second, [1, 0, 0, 0, 0, 0, 0, 1], metrics="accuracy")["accuracy"]
    assert (found.first, found.second, found.difference.value) == (0.25, 0.875, 0.625)
    assert (found.test, found.p) == ("McNemar", pytest.approx(0.125))
    assert found.difference.excludes_zero and not found.told_apart  # the bootstrap of eight images is too sure


def test_mcnemar_of_models_that_decide_the_same():
    scores = two_columns([0.9, 0.2, 0.4])
    found = compare_models(scores, scores, [1, 0, 1], metrics="accuracy")["accuracy"]
    assert (found.p, found.difference) == (1.0, Interval(0.0, 0.0, 0.0))


def test_the_positive_class_alone():
    """Sensitivity is of the three positives, specificity of the two negatives, and so are their tests."""
    labels = [1, 1, 1, 0, 0]
    first = two_columns([0.9, 0.1, 0.1, 0.1, 0.1])
    second = two_columns([0.9, 0.9, 0.9, 0.9, 0.1])
    found = compare_models(
        first,
        second,
        labels,
        class_names=["naevus", "melanoma"],
        positive="melanoma",
        metrics=("sensitivity", "specificity"),
        num_resamples=20,
    )
    assert found["sensitivity"].difference.value == pytest.approx(2 / 3)
    assert found["sensitivity"].p == pytest.approx(0.5)  # 2 of 2: 2 · 1 / 4
    assert found["specificity"].difference.value == pytest.approx(-0.5)
    assert found["specificity"].p == 1.0  # 1 of 1


def test_delong_worked_by_hand():
    """
    Ten positives and ten negatives. The first model ranks all right but two positives below all negatives; the second
    ranks all right.

    Only the positives' placements differ, by 1 for two of ten: the difference is .2, its variance
    (2 · .8² + 8 · .2²) / 9 / 10 = .0177…, the negatives' placements all differ by .2 and add nothing.
    z = .2 / √.01777… = 1.5, p = 2 · (1 − Φ(1.5)) = .13361.
    """
    negatives = np.linspace(0.3, 0.5, 10)
    first = two_columns(np.r_[[0.1, 0.2], np.linspace(0.6, 0.9, 8), negatives])
    second = two_columns(np.r_[np.linspace(0.6, 0.9, 10), negatives])
    found = compare_models(first, second, [1] * 10 + [0] * 10, metrics="auc")["auc"]
    assert (found.first, found.second, found.difference.value) == pytest.approx((0.8, 1.0, 0.2))
    assert (found.test, found.p) == ("DeLong", pytest.approx(0.13361, abs=1e-5))


@pytest.mark.parametrize("sharpness", [1.0, 1.6])
def test_delong_agrees_with_permutations(sharpness):
    """Which model gave an image's rank is exchangeable where the models are the same: no formula is needed for that."""
    labels, first, second = scored(60, 90, seed=5, sharpness=sharpness)
    found = compare_models(first, second, labels, metrics="auc", num_resamples=1)["auc"]
    ranks = np.stack([rankdata(scores[:, 1]) for scores in (first, second)])
    kept = np.random.default_rng(0).choice([True, False], size=(4000, len(labels)))

    def area(scores):
        return (rankdata(scores, axis=-1)[..., labels == 1].sum(axis=-1) - 60 * 61 / 2) / (60 * 90)

    assert found.difference.value == pytest.approx(area(ranks[1]) - area(ranks[0]))
    exchanged = area(np.where(kept, ranks[1], ranks[0])) - area(np.where(kept, ranks[0], ranks[1]))
    share = (np.abs(exchanged) >= abs(found.difference.value)).mean()
    assert found.p == pytest.approx(share, abs=0.05)


def test_the_interval_has_the_width_of_delongs_error():
    """1.96 standard errors each side, where the standard error follows from the test."""
    labels, first, second = scored(80, 80, seed=1, sharpness=1.5)
    found = compare_models(first, second, labels, metrics="auc", num_resamples=400)["auc"]
    error = found.difference.value / norm.isf(found.p / 2)
    assert found.difference.high - found.difference.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_values_are_those_of_each_model_and_pairing_narrows():
    """The same draws serve both models: of two that nearly agree the difference is known better than either."""
    labels, first, _ = scored(50, 50, seed=2)
    second = two_columns(np.clip(first[:, 1] + 0.01 * (np.arange(100) % 3), 0, 1))
    metrics = ("accuracy", "auc", "map", "brier", "kappa")
    found = compare_models(first, second, labels, metrics=metrics, num_resamples=100)
    for name in metrics:
        for scores, value in ((first, found[name].first), (second, found[name].second)):
            assert value == classification_metrics(scores, labels, inputs="probabilities")[name]
        assert found[name].difference.low <= found[name].difference.value <= found[name].difference.high
        assert found[name].difference.high - found[name].difference.low < 0.1
    assert [found[name].test for name in metrics] == ["McNemar", "DeLong", "", "", ""]
    again = compare_models(first, second, labels, metrics="auc", num_resamples=100)
    assert again["auc"] == found["auc"]


def test_images_of_one_patient_are_not_tested_as_independent():
    labels, first, second = scored(30, 30, seed=3, sharpness=2)
    single = compare_models(first, second, labels, metrics=("accuracy", "auc"), groups=[*range(60)], num_resamples=2)
    assert all(one.test for one in single.values())
    fourfold = np.tile(np.arange(60), 4)
    found = compare_models(
        first[fourfold],
        second[fourfold],
        labels[fourfold],
        metrics=("accuracy", "auc"),
        groups=fourfold.tolist(),
        num_resamples=50,
    )
    for one in found.values():
        assert one.test == "" and math.isnan(one.p)
        assert "not independent, so there is only the interval" in one.why_no_test
    assert found["auc"].difference.value == pytest.approx(single["auc"].difference.value)


def test_one_patient_gives_no_interval():
    labels, first, second = scored(10, 10, seed=4, sharpness=9)
    found = compare_models(first, second, labels, metrics="auc", groups=["p1"] * 20)["auc"]
    assert not found.difference.known and not found.told_apart


def test_few_positives_have_no_delong():
    labels, first, second = scored(9, 40, seed=6)
    found = compare_models(first, second, labels, metrics="auc", num_resamples=2)["auc"]
    assert found.test == "" and "fewer than 10 images" in found.why_no_test


def test_labels_of_an_image():
    """Of several labels the mean has an interval only; one of them has its test, and so has the exact match."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, (40, 3))
    first, second = (np.clip(labels * 0.3 + rng.uniform(0, 0.7, (40, 3)), 0, 1) for _ in range(2))
    keywords = {"task": "multilabel", "class_names": ["a", "b", "c"], "num_resamples": 20}
    metrics = ("accuracy", "auc", "exact_match")
    means = compare_models(first, second, labels, metrics=metrics, **keywords)
    assert [means[name].test for name in metrics] == ["", "", "McNemar"]
    alone = compare_models(first, second, labels, metrics=metrics, positive="b", **keywords)
    assert [alone[name].test for name in metrics] == ["McNemar", "DeLong", "McNemar"]
    decided = (second[:, 1] >= 0.5) == labels[:, 1], (first[:, 1] >= 0.5) == labels[:, 1]
    assert alone["accuracy"].difference.value == pytest.approx(decided[0].mean() - decided[1].mean())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"metrics": "dice"}, "unknown name 'dice'"),
        ({"groups": ["a"]}, "groups has 1 entries, but there are 2 images"),
        ({"positive": "cyst"}, "positive is 'cyst', but the classes are class_0, class_1"),
        ({"second": [[0.5, 0.5]]}, "y has shape"),
        ({"second": [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]]}, "the second of \\(2, 3\\)"),
    ],
)
def test_bad_input(change, message):
    good = {"first": [[0.9, 0.1], [0.2, 0.8]], "second": [[0.9, 0.1], [0.2, 0.8]], "labels": [0, 1]}
    with pytest.raises(ValueError, match=message):
        compare_models(**{**good, **change})
