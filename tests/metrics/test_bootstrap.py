# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from monai_ept.metrics import METRIC_NAMES, bootstrap_interval, classification_metrics, group_weights

GOOD = {"y_pred": [[2.0, 1.0], [0.5, 1.0]], "y": [0, 1], "inputs": "logits"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"metrics": "dice"}, "unknown name 'dice'"),
        ({"metrics": "exact_match"}, "unknown name 'exact_match'"),
        ({"num_resamples": 0}, "num_resamples is 0"),
        ({"confidence": 95}, "confidence is 95"),
        ({"groups": ["p1"]}, "groups has 1 entries, but there are 2 images"),
    ],
)
def test_bootstrap_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**{**GOOD, **change})


def noisy(images, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    return np.eye(3)[labels] * 1.5 + rng.normal(size=(images, 3)), labels


def test_bootstrap_matches_theory_and_is_seeded():
    """The interval of an accuracy is close to the binomial one."""
    logits, labels = noisy(400)
    first = bootstrap_interval(logits, labels, inputs="logits", metrics="accuracy", num_resamples=2000, seed=3)
    again = bootstrap_interval(logits, labels, inputs="logits", metrics="accuracy", num_resamples=2000, seed=3)
    other = bootstrap_interval(logits, labels, inputs="logits", metrics="accuracy", num_resamples=2000, seed=4)
    assert first == again != other
    value, low, high = first["accuracy"]
    half = 1.96 * math.sqrt(value * (1 - value) / 400)
    assert value == classification_metrics(logits, labels, inputs="logits")["accuracy"]
    assert low == pytest.approx(value - half, abs=0.01)
    assert high == pytest.approx(value + half, abs=0.01)


def test_bootstrap_of_groups_is_wider():
    """Four copies of every image carry no more information than one: the interval must not shrink."""
    logits, labels = noisy(60)
    copies = np.repeat(np.arange(60), 4)
    keywords = {"inputs": "logits", "metrics": "accuracy", "num_resamples": 600}
    single = bootstrap_interval(logits, labels, **keywords)["accuracy"]
    by_image = bootstrap_interval(logits[copies], labels[copies], **keywords)["accuracy"]
    by_group = bootstrap_interval(logits[copies], labels[copies], groups=copies.tolist(), **keywords)["accuracy"]
    assert by_group.high - by_group.low == pytest.approx(single.high - single.low, rel=0.15)
    assert by_image.high - by_image.low < 0.65 * (single.high - single.low)


def test_bootstrap_of_a_rare_class_stays_defined():
    labels = np.array([0] * 10 + [1])
    logits = np.eye(2)[labels]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = bootstrap_interval(logits * 3, labels, inputs="logits", metrics=METRIC_NAMES, num_resamples=50)
    assert result["auc"] == (1.0, 1.0, 1.0)
    assert result["map"] == (1.0, 1.0, 1.0)
    # paper=True punishes classes that the test set lacks, not classes that a resample happens to miss
    paper = bootstrap_interval(logits * 3, labels, inputs="logits", metrics="map", num_resamples=50, paper=True)
    assert paper["map"] == (1.0, 1.0, 1.0)


def test_whole_groups_are_drawn_as_often_as_chance_has_it():
    groups = ["b", "a", "b", "c", "a", "b"]
    weights = group_weights(groups, 3000, seed=1)
    for one, other in ((0, 2), (0, 5), (1, 4)):
        assert (weights[:, one] == weights[:, other]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # as many groups as there are
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.06)  # four standard errors
    assert (group_weights(groups, 3000, seed=1) == weights).all()


def of_labels(probabilities, labels, num_resamples):
    settings = {"inputs": "probabilities", "task": "multilabel", "num_resamples": num_resamples}
    return bootstrap_interval(probabilities, labels, metrics=("accuracy", "sensitivity"), **settings)


def test_a_label_without_positives_stays_in_every_mean():
    """Ten images; the rare label is right everywhere, the common one in 7 of 10: the mean of both is .85, never .7."""
    labels = np.zeros((10, 2), dtype=int)
    labels[0, 0] = 1  # a draw misses it once in three
    labels[:5, 1] = 1
    probabilities = np.where(labels == 1, 0.9, 0.1)
    probabilities[:3, 1] = 0.1  # three of the five are missed

    found = of_labels(probabilities, labels, 400)

    accuracy, sensitivity = found["accuracy"], found["sensitivity"]
    assert accuracy.value == pytest.approx((1 + 0.7) / 2)
    assert accuracy.low >= 0.5 and accuracy.high <= 1
    # (1 + 2/5) / 2; without the rare label a draw would give as little as 0, with it at least (1 + 0) / 2
    assert sensitivity.value == pytest.approx(0.7)
    assert sensitivity.low >= 0.5


def test_a_label_that_nobody_has_is_in_no_mean():
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    probabilities = np.array([[0.9, 0.1], [0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    with pytest.warns(UserWarning, match="no image is labelled"):
        found = of_labels(probabilities, labels, 50)

    assert found["sensitivity"] == (1.0, 1.0, 1.0)
    assert found["accuracy"].value == pytest.approx((1 + 0.75) / 2)  # which needs nobody to have it
