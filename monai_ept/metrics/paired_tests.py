# SPDX-License-Identifier: Apache-2.0

"""Two models on the same labelled images: how far apart they are, and whether the images can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_ept.metrics.bootstrap import fixed_means, members_of, resampled_terms
from monai_ept.metrics.checked_batch import ArrayLike, CheckedBatch, Task, check_batch, name_missing
from monai_ept.metrics.classification import METRICS, check_metrics, lower_is_better, mean_of, terms
from monai_ept.metrics.interval import Interval, percentile_interval

__all__ = ["PairedComparison", "compare_models"]

LEVEL = 0.05
FEWEST = 10
"""Positives and negatives from which DeLong's test nearly keeps its level: docs/metrics.md has what was tried."""


@dataclass(frozen=True)
class PairedComparison:
    """
    One metric of two models on the same images.

    Args:
        metric: its name.
        first: its value with the first model.
        second: and with the second.
        difference: second − first with its 95 % interval; without ends where all images are of one group.
        test: "McNemar" or "DeLong", empty where no test fits.
        p: of this test, two-sided; NaN without one.
        why_no_test: why there is only the interval, in words.
    """

    metric: str
    first: float
    second: float
    difference: Interval
    test: str = ""
    p: float = math.nan
    why_no_test: str = ""

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out zero, and the test, where there is one, says the same."""
        return self.difference.excludes_zero and not self.p >= LEVEL

    @property
    def second_is_better(self) -> bool:
        """Whether the second model's value is the better one, told apart or not."""
        return self.difference.value < 0 if lower_is_better(self.metric) else self.difference.value > 0


def compare_models(
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    *,
    task: Task = "multiclass",
    class_names: Sequence[str] | None = None,
    metrics: Sequence[str] | str = ("accuracy", "balanced_accuracy", "auc", "map"),
    positive: str | None = None,
    threshold: float = 0.5,
    groups: Sequence[Any] | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, PairedComparison]:
    """
    The second model against the first, on the same images in the same order.

    Every difference has a paired percentile bootstrap interval: each resample of the groups serves both models. There
    is a p value only where a test fits that needs no more than independent images: McNemar's exact test where the
    metric is a share of images decided right, DeLong's where it is one area under a ROC curve with at least 10
    positive and 10 negative images. It speaks of these two trained models, not of their methods: other training
    images would give other models.

    Args:
        first: probabilities of the first model, of shape (images, classes).
        second: of the second model.
        labels: class indices, or with task="multilabel" a 0 or 1 for every image and class.
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        metrics: names from :py:data:`METRIC_NAMES`.
        positive: name of a class: metrics that have a value for each class are this class's against the rest then.
        threshold: multi-label: a probability of at least this is a yes.
        groups: patient, study or lesion of each image; whole groups are drawn.
        num_resamples: number of resamples.
        seed: same seed, same intervals.

    Raises:
        ValueError: for the reasons of :py:func:`classification_metrics`, or when the models' shapes differ, a metric or
            the positive class is unknown, or groups do not match the images.

    Returns:
        metric → its comparison.

    Example::

        >>> first, second = [[0.9, 0.1], [0.8, 0.2]], [[0.9, 0.1], [0.2, 0.8]]
        >>> found = compare_models(first, second, [0, 1], metrics="accuracy")["accuracy"]
        >>> found.difference.value, found.test, found.p
        (0.5, 'McNemar', 1.0)
    """
    names = check_metrics(metrics, task)
    one, other = (
        check_batch(scores, labels, "probabilities", task, class_names, threshold, 15, False)
        for scores in (first, second)
    )
    if one.onehot.shape != other.onehot.shape:
        raise ValueError(f"the first model has scores of {one.onehot.shape}, the second of {other.onehot.shape}.")
    if positive is not None and positive not in one.class_names:
        raise ValueError(f"positive is {positive!r}, but the classes are {', '.join(one.class_names)}.")
    members = members_of(groups, len(one.onehot))
    name_missing(one)
    column = None if positive is None else one.class_names.index(positive)

    # All images of one patient say nothing about another one: every resample would be the same.
    drawn = resampled_terms([one, other], names, members, num_resamples if len(members) > 1 else 0, seed)
    grouped = len(members) < len(one.onehot)
    found = {}
    for name in names:
        part = _part(name, one, column)
        before, after = (terms(name, batch)[part] for batch in (one, other))
        resamples = (drawn[1][name] - drawn[0][name])[:, part]
        first_value, second_value = mean_of(before), mean_of(after)
        found[name] = PairedComparison(
            name,
            first_value,
            second_value,
            percentile_interval(second_value - first_value, fixed_means(after - before, resamples)),
            *(("", math.nan, GROUPED) if grouped else _test(name, one, other, column)),
        )
    return found


GROUPED = "several images of one group are not independent, so there is only the interval"
NO_TEST = "no test fits this metric, so there is only the interval"
TOO_FEW = f"fewer than {FEWEST} images with or without the class, so there is only the interval"


def _part(name: str, batch: CheckedBatch, column: int | None) -> slice:
    """Which of a metric's terms are compared: the positive class's, where it has a value for each class."""
    if column is None or isinstance(METRICS[name](batch), float):
        return slice(None)
    return slice(column, column + 1)


def _test(name: str, first: CheckedBatch, second: CheckedBatch, column: int | None) -> tuple[str, float, str]:
    """Name of the test, its p value, and why there is none."""
    classes = first.onehot.shape[1]
    if column is None and (classes == 1 or (classes == 2 and first.task == "multiclass" and name == "auc")):
        column = classes - 1  # one label, or two classes whose curves are the same
    if name == "auc" and column is not None:
        is_positive = first.onehot[:, column] == 1
        if min(is_positive.sum(), (~is_positive).sum()) < FEWEST:
            return "", math.nan, TOO_FEW
        p = _delong(first.probabilities[:, column], second.probabilities[:, column], is_positive)
        return "DeLong", p, ""
    right = [_decided_right(name, batch, column) for batch in (first, second)]
    if right[0] is None or right[1] is None:
        return "", math.nan, NO_TEST
    return "McNemar", _mcnemar(right[0], right[1]), ""


def _decided_right(name: str, batch: CheckedBatch, column: int | None) -> np.ndarray | None:
    """Whether each image is decided right, if the metric is the share of those that are."""
    right = batch.decisions == batch.onehot
    if name == "exact_match" or (name == "accuracy" and batch.task == "multiclass"):
        return np.asarray(right.all(axis=1))
    if column is None or name not in ("accuracy", "sensitivity", "specificity"):
        return None
    counted = {"accuracy": slice(None), "sensitivity": batch.onehot[:, column] == 1}
    return np.asarray(right[counted.get(name, batch.onehot[:, column] == 0), column])


def _mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's exact test: of the images that only one model decides right, is it each of them as often?"""
    from scipy.stats import binomtest

    only_second, only_first = int((second & ~first).sum()), int((first & ~second).sum())
    return float(binomtest(only_second, only_first + only_second).pvalue) if only_first + only_second else 1.0


def _delong(first: np.ndarray, second: np.ndarray, is_positive: np.ndarray) -> float:
    """DeLong's test of two correlated areas under ROC curves, in the form of Sun and Xu (2014), which takes ranks."""
    from scipy.stats import norm

    (first_above, first_below), (second_above, second_below) = (
        _placements(scores, is_positive) for scores in (first, second)
    )
    above, below = second_above - first_above, second_below - first_below
    error = math.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
    difference = float(above.mean())
    if error == 0:  # the same ranks, or ranks of which every image says the same
        return 1.0 if difference == 0 else math.nan
    return float(2 * norm.sf(abs(difference) / error))


def _placements(scores: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each positive the share of negatives below it, for each negative that of positives above; ties are half."""
    from scipy.stats import rankdata

    positive, negative = scores[is_positive], scores[~is_positive]
    among_all = rankdata(np.concatenate([positive, negative]))
    above = (among_all[: len(positive)] - rankdata(positive)) / len(negative)
    below = 1 - (among_all[len(positive) :] - rankdata(negative)) / len(positive)
    return above, below
