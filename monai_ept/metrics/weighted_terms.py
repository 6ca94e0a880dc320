# SPDX-License-Identifier: Apache-2.0

"""The metrics of many resamples at once: the same numbers as ``classification.terms`` finds one by one, far faster."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from monai_ept.metrics.checked_batch import CheckedBatch

__all__ = ["WeightedBatch", "areas", "rates"]


class WeightedBatch:
    """
    A batch, and resamples of it that say how often each image counts.

    Args:
        weights: ``(resamples, images)``, whole numbers.
    """

    def __init__(self, batch: CheckedBatch, weights: np.ndarray) -> None:
        self.batch, self.weights = batch, weights

    def terms(self, name: str) -> np.ndarray:
        """``(resamples, terms)`` of a metric, NaN where it is not defined."""
        multiclass = self.batch.task == "multiclass"
        if name == "balanced_accuracy" and multiclass:
            name = "sensitivity"
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = getattr(self, f"_{name}")()
        if name == "map":
            return np.where(self.batch.zero_in_map, 0.0, found)
        unmasked = ("accuracy", "exact_match", "ece", "brier", "kappa" if multiclass else "specificity")
        return found if name in unmasked else np.where(self._positive > 0, found, np.nan)

    def _sums(self, of_images: np.ndarray) -> np.ndarray:
        return np.asarray(self.weights @ of_images.reshape(len(of_images), -1).astype(np.float64))

    def _means(self, of_images: np.ndarray) -> np.ndarray:
        return self._sums(of_images) / self._total

    @cached_property
    def _total(self) -> np.ndarray:
        return np.asarray(self.weights.sum(axis=1, keepdims=True))

    @cached_property
    def _positive(self) -> np.ndarray:
        return self._sums(self.batch.onehot)

    @cached_property
    def _claimed(self) -> np.ndarray:
        return self._sums(self.batch.decisions)

    @cached_property
    def _found(self) -> np.ndarray:
        return self._sums(self.batch.decisions * self.batch.onehot)

    @property
    def _spared(self) -> np.ndarray:
        return self._total - self._positive - self._claimed + self._found

    @property
    def _right(self) -> np.ndarray:
        return np.asarray(self.batch.decisions == self.batch.onehot)

    def _accuracy(self) -> np.ndarray:
        return self._exact_match() if self.batch.task == "multiclass" else self._means(self._right)

    def _exact_match(self) -> np.ndarray:
        return self._means(np.asarray(self._right.all(axis=1)))

    def _sensitivity(self) -> np.ndarray:
        return self._found / self._positive

    def _specificity(self) -> np.ndarray:
        return self._spared / (self._total - self._positive)

    def _balanced_accuracy(self) -> np.ndarray:
        return (self._sensitivity() + self._specificity()) / 2

    def _f1(self) -> np.ndarray:
        return 2 * self._found / (self._positive + self._claimed)

    def _kappa(self) -> np.ndarray:
        batch, total = self.batch, self._total
        if batch.task == "multiclass":
            agreed = self._found.sum(axis=1, keepdims=True) / total
            by_chance = (self._positive * self._claimed).sum(axis=1, keepdims=True) / total**2
        else:
            agreed = (self._found + self._spared) / total
            by_chance = self._positive * self._claimed + (total - self._positive) * (total - self._claimed)
            by_chance = by_chance / total**2
        return np.where(by_chance < 1, (agreed - by_chance) / (1 - by_chance), np.nan)

    def _brier(self) -> np.ndarray:
        squared = (self.batch.probabilities - self.batch.onehot) ** 2
        if self.batch.task == "multiclass":
            squared = squared.sum(axis=1) / (2 if squared.shape[1] == 2 else 1)
        return self._means(squared)

    def _ece(self) -> np.ndarray:
        batch = self.batch
        confidence, right = batch.probabilities, batch.onehot
        if batch.task == "multiclass":
            confidence, right = confidence.max(axis=1)[:, None], np.asarray(self._right.all(axis=1))[:, None]
        columns = []
        for sure, true in zip(confidence.T, right.T, strict=True):
            inside = np.eye(batch.num_bins)[_bins(sure, batch.num_bins)]
            gaps = np.abs(self._sums(inside * (sure - true)[:, None]))
            columns.append(gaps.sum(axis=1, keepdims=True) / self._total)
        return np.hstack(columns)

    def _auc(self) -> np.ndarray:
        return self._areas[0]

    def _map(self) -> np.ndarray:
        return self._areas[1]

    @cached_property
    def _areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Under the ROC curve and the precision-recall curve, of each class."""
        both = [
            areas(*rates(scores, truth == 1, self.weights))
            for scores, truth in zip(self.batch.probabilities.T, self.batch.onehot.T, strict=True)
        ]
        auc, average = (np.stack(several, axis=1) for several in zip(*both, strict=True))
        return auc, average


def _bins(confidence: np.ndarray, num_bins: int) -> np.ndarray:
    """The bins that MONAI's ``calibration_binning`` puts images into, which is done in float32."""
    edges = torch.linspace(0.0, 1.0 + torch.finfo(torch.float32).eps, num_bins + 1)
    found = torch.bucketize(torch.from_numpy(np.ascontiguousarray(confidence)).float(), edges[1:])
    return np.asarray(found.clamp(max=num_bins - 1).numpy())


def rates(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Recall, false positive rate and precision as the threshold falls from score to score.

    Args:
        weights: ``(resamples, images)``.

    Returns:
        ``(resamples, scores that differ)`` each; recall is NaN without images of the class, the false positive rate
        without others.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # images of one score count together
    ranked, positive = weights[:, order], truth[order]
    hits, alarms = ((ranked * kind).cumsum(axis=1)[:, ends] for kind in (positive, ~positive))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(hits + alarms > 0, hits / (hits + alarms), 1.0)
        return hits / hits[:, -1:], alarms / alarms[:, -1:], precision


def areas(recall: np.ndarray, false_rate: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    The area under the ROC curve and the average precision of each resample, of what ``rates`` gives.

    They are NaN where one kind of image is missing; but average precision of images that all carry the class is 1, as
    in scikit-learn: none can rank above them.
    """
    gained = np.diff(recall, axis=1, prepend=0.0)
    auc = (np.diff(false_rate, axis=1, prepend=0.0) * (recall - gained / 2)).sum(axis=1)
    return auc, (gained * precision).sum(axis=1)
