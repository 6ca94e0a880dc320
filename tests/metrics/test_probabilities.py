# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from monai_ept.metrics import probabilities_of


@pytest.mark.parametrize(("task", "expected"), [("multiclass", lambda x: softmax(x, axis=-1)), ("multilabel", expit)])
def test_arrays_and_tensors_are_scipys_softmax_and_sigmoid(task, expected):
    logits = np.array([[-800.0, 0.5, 3.0], [2.0, 1.0, 800.0]])
    found = probabilities_of(logits, task)
    assert isinstance(found, np.ndarray) and found == pytest.approx(expected(logits))
    tensor = probabilities_of(torch.tensor(logits, dtype=torch.float32), task)
    assert isinstance(tensor, torch.Tensor) and tensor.numpy() == pytest.approx(expected(logits), abs=1e-6)
