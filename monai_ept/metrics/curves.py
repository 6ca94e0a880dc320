# SPDX-License-Identifier: Apache-2.0

"""ROC and precision-recall curves with bootstrap bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_ept.metrics.interval import Interval, percentile_interval

__all__ = ["Curve", "Curves", "curves_of"]

GRID = np.linspace(0, 1, 101)
AT_ONCE = 100  # resamples, so that many images need no more memory than few


@dataclass(frozen=True)
class Curve:
    """
    A curve on even steps of its horizontal axis.

    Args:
        x: the horizontal axis.
        y: the curve of all images.
        low: lower end of its 95 % interval at each step; NaN without a bootstrap.
        high: the upper end.
        area: under the curve of all images, with its interval: AUC, or average precision.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    area: Interval


@dataclass(frozen=True)
class Curves:
    """Both curves of one class against the rest."""

    roc: Curve  # sensitivity over 1 − specificity
    precision_recall: Curve  # precision over recall
    share: float  # of images that carry the class: the precision of guessing


def curves_of(scores: np.ndarray, truth: np.ndarray, *, weights: np.ndarray | None = None) -> Curves | None:
    """
    ROC and precision-recall curve of one class.

    Between two thresholds the ROC curve is a straight line; precision is that of the first threshold that reaches the
    recall. A resample without the class, or with nothing else, is left out.

    Args:
        scores: probability of the class for each image.
        truth: which of them carry it.
        weights: how often each resample draws each image, see ``group_weights``; None leaves the bands out.

    Returns:
        the curves; None when every image carries the class, or none does.
    """
    truth = np.asarray(truth, dtype=bool)
    if truth.all() or not truth.any():
        return None
    order = np.argsort(-np.asarray(scores), kind="stable")
    sorted_scores, sorted_truth = np.asarray(scores)[order], truth[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_scores)), len(truth) - 1)  # images of one score count together
    values = _curves(np.ones((1, len(truth))), sorted_truth, ends)
    drawn = [np.empty((0, *value.shape[1:])) for value in values]
    if weights is not None:
        parts = [
            _curves(weights[first : first + AT_ONCE, order], sorted_truth, ends)
            for first in range(0, len(weights), AT_ONCE)
        ]
        drawn = [np.concatenate(several) for several in zip(*parts, strict=True)]
    roc, precision, auc, average = values
    return Curves(
        _banded(roc[0], drawn[0], auc[0], drawn[2]),
        _banded(precision[0], drawn[1], average[0], drawn[3]),
        float(truth.mean()),
    )


def _curves(weights: np.ndarray, truth: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, ...]:
    """Both curves on the grid, and both areas, of every row of weights that has images with the class and without."""
    positive, negative = weights * truth, weights * ~truth
    usable = (positive.sum(axis=1) > 0) & (negative.sum(axis=1) > 0)
    hits = positive[usable].cumsum(axis=1)[:, ends]
    alarms = negative[usable].cumsum(axis=1)[:, ends]
    recall, false_rate = hits / hits[:, -1:], alarms / alarms[:, -1:]
    with np.errstate(invalid="ignore"):
        precision = np.where(hits + alarms > 0, hits / (hits + alarms), 1.0)
    start = np.zeros((len(hits), 1))
    rising, across = np.hstack([start, recall]), np.hstack([start, false_rate])
    roc, precise = np.empty((len(hits), len(GRID))), np.empty((len(hits), len(GRID)))
    for row in range(len(hits)):
        roc[row] = np.interp(GRID, across[row], rising[row])  # where it rises straight up, what it rises to
        first = np.searchsorted(recall[row], GRID - 1e-12).clip(max=len(ends) - 1)
        precise[row] = precision[row, first]
    auc = ((across[:, 1:] - across[:, :-1]) * (rising[:, 1:] + rising[:, :-1])).sum(axis=1) / 2
    average = (np.diff(rising, axis=1) * precision).sum(axis=1)
    return roc, precise, auc, average


def _banded(y: np.ndarray, drawn: np.ndarray, area: float, areas: np.ndarray) -> Curve:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) if len(drawn) else np.full((2, len(GRID)), np.nan)
    return Curve(GRID, y, low, high, percentile_interval(float(area), areas.tolist()))
