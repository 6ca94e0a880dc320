# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from monai_ept.metrics import bootstrap_interval, classification_metrics
from monai_ept.metrics.checked_batch import check_batch, name_missing

GOOD = {"y_pred": [[0.7, 0.3], [0.2, 0.8]], "y": [0, 1], "inputs": "probabilities"}
BAD = {
    "no such kind": ({"inputs": "scores"}, 'inputs is \'scores\', .*"logits" or "probabilities"'),
    "no such task": ({"task": "binary"}, "task is 'binary'"),
    "NaN": ({"y_pred": [[0.7, 0.3], [math.nan, 0.8]]}, "NaN or infinite scores in 1 of 2 images, first in row 1"),
    "infinite": ({"y_pred": [[math.inf, 0.3], [0.2, 0.8]], "inputs": "logits"}, "first in row 0"),
    "empty": ({"y_pred": np.empty((0, 2)), "y": []}, "y_pred is empty"),
    "one axis": ({"y_pred": [0.7, 0.8]}, r"shape \(2,\), but must be \(images, classes\)"),
    "one column": ({"y_pred": [[0.7], [0.8]]}, "needs two or more columns"),
    "text": ({"y_pred": [["a", "b"]]}, "y_pred cannot be read as an array of numbers"),
    "ragged": ({"y_pred": [[0.5, 0.5], [1.0]]}, "y_pred cannot be read as an array of numbers"),
    "ragged tensors": ({"y_pred": [torch.ones(2), torch.ones(3)]}, "list of tensors of different shapes"),
    "none": ({"y": None}, "y (cannot be read|has shape|has the label)"),
    "fewer labels": ({"y": [0]}, r"y has shape \(1,\).*one class index per image"),
    "one-hot labels": ({"y": [[1, 0], [0, 1]]}, r"y has shape \(2, 2\)"),
    "class labels": ({"task": "multilabel"}, r"y has shape \(2,\).*a 0 or 1 for every image and class"),
    "label too high": ({"y": [0, 2]}, "label 2 in row 1, but a label must be a whole number from 0 to 1"),
    "label negative": ({"y": [-1, 0]}, "label -1 in row 0"),
    "label broken": ({"y": [0.5, 0]}, "label 0.5 in row 0"),
    "label NaN": ({"y": [0, math.nan]}, "label nan in row 1"),
    "label not 0 or 1": ({"y": [[1, 0], [0, 2]], "task": "multilabel"}, "label 2 in row 1, column 1.*must be 0 or 1"),
    "logits called probabilities": ({"y_pred": [[3.0, -1.0], [0.2, 0.8]]}, 'reaches from -1 to 3.*inputs="logits"'),
    "sum": ({"y_pred": [[0.7, 0.3], [0.9, 0.8]]}, "sum to 1.7 in row 1"),
    "names short": ({"class_names": ["a"]}, "class_names has 1 names, but y_pred has 2 classes"),
    "names twice": ({"class_names": ["a", "a"]}, "the same name twice"),
    "threshold": ({"threshold": 1.5}, "threshold is 1.5"),
    "bins": ({"num_bins": 0}, "num_bins is 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_sentence(name):
    change, message = BAD[name]
    for function in (classification_metrics, bootstrap_interval):
        with pytest.raises(ValueError, match=message) as caught:
            function(**{**GOOD, **change})
        text = str(caught.value)
        assert "\n" not in text and text.endswith(".")


def batch_of(scores, labels, task="multiclass", inputs="probabilities", paper=False, **more):
    given = {"class_names": None, "threshold": 0.5, "num_bins": 15, **more}
    return check_batch(scores, labels, inputs, task, given["class_names"], given["threshold"], given["num_bins"], paper)


def test_decisions_and_labels_are_matrices():
    batch = batch_of([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]], torch.tensor([[0], [0], [1]]))
    assert batch.decisions.tolist() == [[1, 0], [0, 1], [1, 0]] and batch.onehot.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert batch.class_names == ("class_0", "class_1") and batch.present.tolist() == [True, True]
    taken = batch.take(np.array([1, 0, 0]))
    assert taken.decisions.tolist() == [[0, 1], [1, 0], [1, 0]] and taken.present.tolist() == [True, False]
    several = batch_of([[0.7, 0.3], [0.2, 0.8]], [[1, 1], [0, 0]], "multilabel", threshold=0.3, class_names=["a", "b"])
    assert several.decisions.tolist() == [[1, 1], [0, 1]]


def test_logits_become_probabilities_once():
    logits = torch.tensor([[0.0, math.log(3)]])
    np.testing.assert_allclose(batch_of(logits, [1], inputs="logits").probabilities, [[0.25, 0.75]], rtol=1e-6)
    found = batch_of(logits, [[0, 1]], "multilabel", "logits").probabilities
    np.testing.assert_allclose(found, [[0.5, 0.75]], rtol=1e-6)
    with pytest.warns(UserWarning, match="looks like probabilities, yet inputs="):
        batch_of([[0.25, 0.75]], [1], inputs="logits")


def test_classes_that_no_image_or_every_image_carries_are_named():
    batch = batch_of([[0.1, 0.2, 0.3]], [[1, 0, 0]], "multilabel", paper=True, class_names=["a", "b", "c"])
    assert batch.zero_in_map.tolist() == [False, True, True]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert name_missing(batch) == (["b", "c"], ["a"])
    first, second = (str(one.message) for one in said)
    assert "no image is labelled b, c" in first and "counts 0 in map (paper=True)" in first
    assert second.startswith("every image is labelled a: AUC")
