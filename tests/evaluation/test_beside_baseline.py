# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.evaluation.beside_baseline import beside_baseline, compare_tables
from monai_ept.handlers import PredictionTable

IDS = [f"image {number}" for number in range(20)]
LABELS = np.arange(20) % 2
HOW = {"task": "multiclass", "num_resamples": 20}


def table(right):
    """Predictions that are right for so many images, the first ones."""
    said = np.where(np.arange(20) < right, LABELS, 1 - LABELS)
    return PredictionTable(IDS, np.eye(2)[said] * 0.8 + 0.1, LABELS)


def test_the_difference_is_that_of_the_same_images_in_whatever_order():
    first = table(12)
    turned = PredictionTable(IDS[::-1], first.probabilities[::-1], LABELS[::-1])
    found = compare_tables(turned, table(18), **HOW)
    assert (found["accuracy"].first, found["accuracy"].second) == (0.6, 0.9)
    assert found["accuracy"].difference.value == pytest.approx(0.3)


def test_other_images_are_not_compared():
    other = PredictionTable([*IDS[1:], "stranger"], table(12).probabilities, LABELS)
    with pytest.raises(ValueError, match="compared on the same images, and 'image 0' is predicted by one alone"):
        compare_tables(table(12), other, **HOW)


def test_what_metrics_json_says():
    said = beside_baseline(table(20), "a linear head", table(8), **HOW)
    assert said["name"] == "a linear head" and said["ahead"]
    assert "this network is ahead of a linear head" in said["said"]
    accuracy = said["metrics"]["accuracy"]
    assert (accuracy["baseline"], accuracy["value"]) == (0.4, 1.0) and accuracy["difference"] == pytest.approx(0.6)
    assert accuracy["low"] <= 0.6 <= accuracy["high"]
    assert not beside_baseline(table(12), "it", table(12), **HOW)["ahead"]
