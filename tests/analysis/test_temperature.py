# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_ept.analysis import fit_temperature
from monai_ept.analysis.temperature import negative_log_likelihood, sureness
from monai_ept.metrics import probabilities_of


def calibrated(images: int = 4000, task: str = "multiclass", seed: int = 0):
    """Logits whose probabilities are true, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, 4)) * 2
    probabilities = probabilities_of(logits, task)
    if task == "multilabel":
        return logits, (rng.uniform(size=probabilities.shape) < probabilities).astype(np.int64)
    drawn = rng.uniform(size=(images, 1)) > probabilities.cumsum(axis=1)
    return logits, np.minimum(drawn.sum(axis=1), 3)


@pytest.mark.parametrize(
    ("task", "factor"),
    [
        ("multiclass", 3.0),
        ("multilabel", 0.4),
        pytest.param("multiclass", 0.4, marks=pytest.mark.slow),
        pytest.param("multilabel", 3.0, marks=pytest.mark.slow),
    ],
)
def test_the_temperature_that_was_put_in_is_found(task, factor):
    logits, labels = calibrated(task=task)
    fit = fit_temperature(logits * factor, labels, task)
    assert fit.temperature == pytest.approx(factor, rel=0.06)
    assert fit.low < factor < fit.high and fit.high / fit.low < 1.3
    assert not fit.at_edge and fit.num_images == 4000
    test_logits, test_labels = calibrated(task=task, seed=1)
    before, after = (sureness(test_logits * factor, test_labels, t, task) for t in (1.0, fit.temperature))
    assert after["ece"] < 0.03 < before["ece"] and after["nll"] < before["nll"] and after["right"] == before["right"]
    assert (before["confidence"] > after["confidence"]) == (factor > 1) or task == "multilabel"


def test_it_is_the_minimum_that_torch_sees():
    logits, labels = calibrated(60)
    fit = fit_temperature(logits * 2, labels, "multiclass")
    values, truth = torch.from_numpy(logits * 2), torch.from_numpy(labels)

    def loss(temperature):
        return torch.nn.functional.cross_entropy(values / temperature, truth).item()

    assert negative_log_likelihood(logits * 2, labels, "multiclass") == pytest.approx(loss(1.0))
    assert all(loss(fit.temperature) <= loss(fit.temperature * step) for step in (0.98, 0.995, 1.005, 1.02))


def test_few_images_of_few_groups_leave_it_open():
    logits, labels = calibrated(24)
    alone = fit_temperature(logits, labels, "multiclass")
    grouped = fit_temperature(logits, labels, "multiclass", [f"p{i // 6}" for i in range(24)])
    assert alone.temperature == grouped.temperature
    assert alone.high / alone.low > 1.4 and (alone.low, alone.high) != (grouped.low, grouped.high)


def test_images_that_are_all_right_determine_nothing():
    fit = fit_temperature(np.eye(4)[[0, 1, 2, 3]] * 5, np.arange(4), "multiclass")
    assert fit.at_edge and fit.temperature == pytest.approx(0.05)


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="no validation image"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int), "multiclass")
