# SPDX-License-Identifier: Apache-2.0

"""ROC and precision-recall curves with bootstrap bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_ept.metrics.bootstrap import AT_ONCE
from monai_ept.metrics.interval import Interval, percentile_interval
from monai_ept.metrics.weighted_terms import areas, rates

__all__ = ["Curve", "Curves", "curves_of"]

GRID = np.linspace(0, 1, 101)


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
        weights: how often each resample draws each image, see ``group_weights``; None leaves the bands out.

    Returns:
        the curves; None when every image carries the class, or none does.
    """
    truth = np.asarray(truth, dtype=bool)
    if truth.all() or not truth.any():
        return None
    scores = np.asarray(scores)
    values = _curves(scores, truth, np.ones((1, len(truth))))
    drawn = [np.empty((0, *value.shape[1:])) for value in values]
    if weights is not None:
        parts = [_curves(scores, truth, weights[first : first + AT_ONCE]) for first in range(0, len(weights), AT_ONCE)]
        drawn = [np.concatenate(several) for several in zip(*parts, strict=True)]
    roc, precision, auc, average = values
    return Curves(
        _banded(roc[0], drawn[0], auc[0], drawn[2]),
        _banded(precision[0], drawn[1], average[0], drawn[3]),
        float(truth.mean()),
    )


def _curves(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Both curves on the grid, and both areas, of every row of weights that has images with the class and without."""
    both = ((weights * truth).sum(axis=1) > 0) & ((weights * ~truth).sum(axis=1) > 0)
    recall, false_rate, precision = rates(scores, truth, weights[both])
    roc, precise = np.empty((len(recall), len(GRID))), np.empty((len(recall), len(GRID)))
    for row in range(len(recall)):
        across, rising = np.append(0.0, false_rate[row]), np.append(0.0, recall[row])
        roc[row] = np.interp(GRID, across, rising)  # where it rises straight up, what it rises to
        precise[row] = precision[row, np.searchsorted(recall[row], GRID - 1e-12).clip(max=precision.shape[1] - 1)]
    return roc, precise, *areas(recall, false_rate, precision)


def _banded(y: np.ndarray, drawn: np.ndarray, area: float, areas: np.ndarray) -> Curve:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) if len(drawn) else np.full((2, len(GRID)), np.nan)
    return Curve(GRID, y, low, high, percentile_interval(float(area), areas.tolist()))
