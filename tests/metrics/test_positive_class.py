# SPDX-License-Identifier: Apache-2.0

"""One class against all others, with numbers that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_ept.metrics import group_weights
from monai_ept.metrics.positive_class import PositiveClass, binary_metrics, choose_threshold, is_class

# Ten lesions, four of them melanomas, by falling probability: M M n M n n M n n n
SCORES = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
TRUTH = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], dtype=bool)


def values(found):
    return {name: interval.value for name, interval in found.items()}


def test_sensitivity_specificity_and_predictive_values_by_hand():
    """From .5 on: 3 of 4 melanomas are claimed, and 3 of 6 naevi (one lies at .5 itself)."""
    found = values(binary_metrics(SCORES, TRUTH, 0.5))

    assert found == {"sensitivity": 3 / 4, "specificity": 3 / 6, "ppv": 3 / 6, "npv": 3 / 4}


def test_predictive_values_at_a_prevalence_follow_bayes():
    """Of 1,000 people 20 have it: 15 are claimed, and of the 980 others 490; 490 of 495 not claimed are healthy."""
    found = values(binary_metrics(SCORES, TRUTH, 0.5, prevalence=0.02))

    assert found["ppv_at_prevalence"] == pytest.approx(15 / 505)
    assert found["npv_at_prevalence"] == pytest.approx(490 / 495)


def test_nothing_claimed_has_no_ppv():
    """Two classes whose macro means hide it: no melanoma is found, and every number says so."""
    found = values(binary_metrics(SCORES, TRUTH, 0.99))

    assert found["sensitivity"] == 0 and found["specificity"] == 1
    assert math.isnan(found["ppv"]) and found["npv"] == 6 / 10


@pytest.mark.parametrize(
    ("point", "threshold"),
    [
        (0.3, 0.3),
        ("youden", 0.65),  # from .7 on: 3 of 4 found, 5 of 6 spared, the best sum; halfway to .6
        ("sensitivity 0.95", 0.35),  # all four need .4
        ("sensitivity 0.75", 0.65),  # three of four
        ("specificity 0.95", 0.85),  # no naevus: from .9 on
        ("specificity 0.5", 0.35),  # three of six naevi are spared from .4 on, and all melanomas found
    ],
)
def test_the_threshold_is_halfway_to_the_next_image(point, threshold):
    assert choose_threshold(SCORES, TRUTH, point) == pytest.approx(threshold)


def test_a_threshold_needs_both_kinds_of_images():
    with pytest.raises(ValueError, match="none of the 10 carry it"):
        choose_threshold(SCORES, np.zeros(10, dtype=bool), "youden")


def test_intervals_come_from_whole_patients():
    """One patient owns all images: every draw is the same."""
    found = binary_metrics(SCORES, TRUTH, 0.5, weights=group_weights(["p"] * 10, 50, seed=0))
    assert found["sensitivity"] == (0.75, 0.75, 0.75)

    apart = binary_metrics(SCORES, TRUTH, 0.5, weights=group_weights(range(10), 500, seed=0))
    assert apart["sensitivity"].low < 0.75 < apart["sensitivity"].high


def test_labels_of_both_kinds():
    assert is_class(np.array([2, 0, 2]), 2).tolist() == [True, False, True]
    assert is_class(np.array([[0, 1], [1, 0]]), 1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "positive must be a text"),
        ({"operating_point": "youden"}, "must say the name"),
        ({"name": "a", "operating_pint": 0.4}, "did you mean 'operating_point'"),
        ({"name": "a", "operating_point": "best"}, "is neither a probability nor 'youden'"),
        ({"name": "a", "operating_point": 1.5}, "below 1"),
        ({"name": "a", "prevalence": 0}, "prevalence must be a number above 0"),
    ],
)
def test_what_is_no_positive_class_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        PositiveClass.of(given)


def test_a_positive_class_must_be_there():
    positive = PositiveClass.of({"name": "melanoma", "operating_point": "youden"})
    assert PositiveClass.of(positive.to_dict()) == positive
    with pytest.raises(ValueError, match="did you mean 'melanom'"):
        positive.check(["melanom", "naevus"])
    with pytest.raises(ValueError, match="chosen on validation images and there are none"):
        positive.check(["melanoma", "naevus"], validated=False)
    assert PositiveClass("melanoma", "0.4").operating_point == 0.4
