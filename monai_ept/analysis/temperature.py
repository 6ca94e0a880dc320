# SPDX-License-Identifier: Apache-2.0

"""Temperature scaling: one number that makes a network as sure as it is right, found on validation images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from monai_ept.metrics import classification_metrics, group_weights, percentile_interval, probabilities_of
from monai_ept.metrics.checked_batch import Task

__all__ = ["TemperatureFit", "fit_temperature", "negative_log_likelihood", "sureness"]

LOWEST, HIGHEST = 0.05, 20.0
RESAMPLES = 200


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature and its 95 % interval, from a bootstrap over groups of the validation images."""

    temperature: float  # what logits are to be divided by; above 1 the network was too sure of itself
    low: float
    high: float
    num_images: int  # how many validation images it was found on

    @property
    def at_edge(self) -> bool:
        """Whether it lies at the end of what was searched: the images are all right, or tell nothing."""
        return not LOWEST * 1.01 < self.temperature < HIGHEST / 1.01


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, task: str, groups: Sequence[str] | None = None, *, seed: int = 0
) -> TemperatureFit:
    """
    The temperature of the highest likelihood on validation images.

    Args:
        logits: ``(images, classes)``, before any temperature.
        labels: class indices, or 0/1 ``(images, classes)``.
        task: "multiclass" or "multilabel".
        groups: patient, study or lesion of each image, resampled whole for the interval.
        seed: of the bootstrap.

    Raises:
        ValueError: when there is no image.
    """
    if not len(logits):
        raise ValueError("there is no validation image to find a temperature on: make the split with val='shots'.")
    weights = group_weights(range(len(logits)) if groups is None else groups, RESAMPLES, seed)
    drawn = [_best(logits, labels, task, weight) for weight in weights]
    best = _best(logits, labels, task, np.ones(len(logits)))
    return TemperatureFit(*percentile_interval(best, drawn), len(logits))


def _best(logits: np.ndarray, labels: np.ndarray, task: str, weights: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    # Convex in 1/T, hence with one minimum in log T.
    def loss(log: float) -> float:
        return float(_losses(logits / math.exp(log), labels, task) @ weights)

    ends = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-4})
    # Where nothing is wrong, or nothing is known, the likelihood is flat and has its best value at an end.
    end = min(ends, key=loss)
    return math.exp(end if loss(end) <= found.fun else found.x)


def _losses(logits: np.ndarray, labels: np.ndarray, task: str) -> np.ndarray:
    """Negative log-likelihood of each image; multi-label: the mean over labels."""
    from scipy.special import log_softmax

    if task == "multilabel":
        return np.asarray((np.logaddexp(0, logits) - labels * logits).mean(axis=1))
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels.astype(np.int64)]


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, task: str) -> float:
    """Mean over images: what the temperature is chosen to lower."""
    return float(_losses(logits, labels, task).mean())


def sureness(logits: np.ndarray, labels: np.ndarray, temperature: float, task: str) -> dict[str, float]:
    """
    Calibration measures on labelled images at a temperature.

    Returns:
        "ece", "brier", "nll" and "confidence" (mean probability of the predicted class; multi-label: of all labels),
        and "right" (share of right decisions; multi-label: mean share of images that carry a label).
    """
    probabilities = probabilities_of(logits / temperature, task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # absent classes are named where the network is evaluated
        metrics = classification_metrics(probabilities, labels, inputs="probabilities", task=cast(Task, task))
    if task == "multiclass":
        confidence, right = probabilities.max(axis=1).mean(), metrics["accuracy"]
    else:
        confidence, right = probabilities.mean(), labels.mean()
    nll = negative_log_likelihood(logits / temperature, labels, task)
    found = {"ece": metrics["ece"], "brier": metrics["brier"], "nll": nll, "confidence": confidence, "right": right}
    return {name: float(value) for name, value in found.items()}
