# SPDX-License-Identifier: Apache-2.0

"""What ``tests/engines/test_evaluation.py`` does not look at: labels that are not there and images that come twice."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from monai_ept.handlers import CollectPredictions


def test_an_image_that_a_sampler_repeated_counts_once():
    collect = CollectPredictions("multilabel")
    for ids in (["a", "b"], ["b", "c"]):
        collect.update((ids, torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([[0, 1], [1, 1]])))
    table = collect.table()
    assert table.ids == ["a", "b", "c"] and len(table) == 3
    np.testing.assert_allclose(table.probabilities[1], torch.tensor([0.0, 1.0]).sigmoid())  # as it came last
    assert table.labels.tolist() == [[0, 1], [0, 1], [1, 1]]


def test_without_labels_there_are_predictions_and_no_metrics():
    collect = CollectPredictions()
    collect.update((["a"], torch.tensor([[0.0, 2.0]]), None))
    engine = SimpleNamespace(state=SimpleNamespace(metrics={}))
    collect.completed(engine, "auc")
    assert math.isnan(engine.state.metrics["auc"]) and collect.table().labels is None
    collect.reset()
    with pytest.raises(ValueError, match="there is no prediction: the evaluation had no images"):
        collect.table()
