# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.evaluation.mistakes import worst_mistakes
from monai_ept.handlers import PredictionTable

IDS = list("abcd")
RECORDS = [{"id": identity, "image": identity} for identity in reversed(IDS)]


def test_the_surest_of_the_wrong_come_first():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    table = PredictionTable(IDS, probabilities, np.array([1, 0, 0, 0]))  # wrong: a by .6, b by .9, d by .7
    assert [record["id"] for record in worst_mistakes(RECORDS, table, "multiclass")] == ["b", "d", "a"]
    assert [record["id"] for record in worst_mistakes(RECORDS, table, "multiclass", number=1)] == ["b"]


def test_of_several_labels_the_one_that_is_furthest_off_counts():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.6], [0.45, 0.0], [0.5, 0.5]])
    labels = np.array([[1, 0], [1, 0], [1, 0], [1, 1]])  # wrong: b by .6, and c by .55
    table = PredictionTable(IDS, probabilities, labels)
    assert [record["id"] for record in worst_mistakes(RECORDS, table, "multilabel")] == ["b", "c"]
    found = worst_mistakes(RECORDS, table, "multilabel", threshold=0.7)
    assert [record["id"] for record in found] == ["c", "d"]  # d now: neither of its labels is claimed
