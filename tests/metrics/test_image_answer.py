# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.metrics.conformal import PredictionSets
from monai_ept.metrics.image_answer import answer


def sets(threshold: object) -> PredictionSets:
    return PredictionSets(0.9, threshold, groups=40, images=40, source="validation")


def test_an_answer_says_class_probability_and_set():
    # 1 - p <= 0.7, or p >= 0.3: one class is sure, two are not.
    found = answer({"a": 0.8, "b": 0.15, "c": 0.05}, "multiclass", sets(0.7).record)
    assert found == {
        **{"class": "a", "probability": 0.8, "set": ["a"], "sure": True},
        "probabilities": {"a": 0.8, "b": 0.15, "c": 0.05},
    }
    found = answer({"a": 0.4, "b": 0.35, "c": 0.25}, "multiclass", sets(0.7).record)
    assert (found["set"], found["sure"]) == (["a", "b"], False)
    # Where none is probable enough the best stands alone, and is not sure; without a promise there is every class.
    found = answer({"a": 0.2, "b": 0.8}, "multiclass", sets(0.1).record)
    assert (found["set"], found["sure"]) == (["b"], False)
    found = answer({"a": 0.2, "b": 0.8}, "multiclass", sets(None).record)
    assert (found["set"], found["sure"]) == (["a", "b"], False)


def test_with_several_labels_each_is_claimed_ruled_out_or_left_open():
    # There for sure where p > 0.6, away for sure where p < 0.4, and open between.
    found = answer({"a": 0.7, "b": 0.55, "c": 0.1}, "multilabel", sets((0.6, 0.6, 0.6)).record)
    assert (found["class"], found["probability"]) == (["a", "b"], [0.7, 0.55])
    assert (found["set"], found["not_sure"], found["sure"]) == (["a", "b"], ["b"], False)


def test_without_prediction_sets_there_is_none():
    assert answer({"a": 0.75, "b": 0.25}, "multiclass").keys() == {"class", "probability", "probabilities"}


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.6, 0.95, None, (0.3, 0.5, 0.8)])
def test_sets_are_those_of_an_evaluation(task, threshold):
    if isinstance(threshold, tuple) and task == "multiclass":
        threshold = threshold[1]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    held, sure = sets(threshold).decide(probabilities, task)
    for row, inside, certain in zip(probabilities.tolist(), held, sure, strict=True):
        found = answer(dict(zip("abc", row, strict=True)), task, sets(threshold).record)
        assert found["set"] == [name for name, there in zip("abc", inside, strict=True) if there]
        assert found["sure"] == bool(np.all(certain))
        if task == "multilabel":
            assert found["not_sure"] == [name for name, known in zip("abc", certain, strict=True) if not known]
