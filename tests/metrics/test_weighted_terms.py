# SPDX-License-Identifier: Apache-2.0

"""Many resamples at once give what each of them gives alone."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.metrics.checked_batch import check_batch
from monai_ept.metrics.classification import metric_names, terms
from monai_ept.metrics.weighted_terms import WeightedBatch


def batch_of(task, paper=False, classes=4, images=30):
    rng = np.random.default_rng(3)
    scores = np.round(rng.normal(size=(images, classes)), 1)  # with ties
    labels = rng.integers(0, classes - 1, images)  # nobody has the last class
    if task == "multilabel":
        labels = (rng.random((images, classes)) < [0.5, 0.1, 1.0, 0.0][:classes]).astype(int)
    return check_batch(scores, labels, "logits", task, None, 0.5, 15, paper)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("task", "paper"), [("multiclass", False), ("multilabel", False), ("multilabel", True)])
def test_every_metric_of_every_resample(task, paper):
    batch = batch_of(task, paper)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 30, 30) for _ in range(25)] + [np.zeros(30, dtype=int)]  # and one image alone
    weights = np.stack([np.bincount(rows, minlength=30) for rows in draws]).astype(float)

    weighted = WeightedBatch(batch, weights)
    for name in metric_names(task):
        one_by_one = np.stack([terms(name, batch.take(rows)) for rows in draws])
        np.testing.assert_allclose(weighted.terms(name), one_by_one, atol=2e-6, err_msg=name)  # MONAI bins in float32
