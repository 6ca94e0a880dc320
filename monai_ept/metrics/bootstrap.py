# SPDX-License-Identifier: Apache-2.0

"""The bootstrap over groups: how far a number would move with other patients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from monai_ept.metrics.checked_batch import ArrayLike, CheckedBatch, Inputs, Task, check_batch, name_missing
from monai_ept.metrics.classification import check_metrics, mean_of, terms
from monai_ept.metrics.interval import Interval, percentile_interval
from monai_ept.metrics.weighted_terms import WeightedBatch

__all__ = [
    "bootstrap_interval",
    "draw_groups",
    "fixed_means",
    "group_weights",
    "members_of",
    "resampled_terms",
    "rows_of_groups",
]

AT_ONCE = 100
"""Resamples that are computed together: many images need no more memory than few."""


def bootstrap_interval(
    y_pred: ArrayLike,
    y: ArrayLike,
    *,
    inputs: Inputs,
    task: Task = "multiclass",
    metrics: Sequence[str] | str = ("accuracy", "balanced_accuracy", "auc", "map"),
    class_names: Sequence[str] | None = None,
    threshold: float = 0.5,
    num_bins: int = 15,
    paper: bool = False,
    groups: Sequence[Any] | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap over the test images: how far a metric would move with another test set of this size.

    It says nothing about another choice of the few training images; that takes several splits. A mean is over the same
    classes in every resample, those for which the metric is defined on all images. Where a rare class has drawn no
    image, its value is that of the next resample that has drawn one.

    Args:
        y_pred: as in :py:func:`classification_metrics`, and so are y, inputs, task, class_names, threshold, num_bins
            and paper.
        metrics: names from :py:data:`METRIC_NAMES`. All of them are computed on the same resamples.
        groups: one patient, study or lesion per image: whole groups are drawn then, since images of one patient are
            not independent. Without it, images are drawn.
        num_resamples: number of resamples.
        confidence: share of resamples inside the interval.
        seed: same seed, same interval.

    Raises:
        ValueError: for the reasons of :py:func:`classification_metrics`, or when a metric is unknown, groups do not
            match the images, ``num_resamples`` is below 1, or ``confidence`` is not between 0 and 1.

    Returns:
        metric name → :py:class:`Interval` of the value on all images and both ends.

    Example::

        >>> bootstrap_interval([[2.0, 0.0], [0.5, 1.0]], [0, 1], inputs="logits", metrics="accuracy")
        {'accuracy': Interval(value=1.0, low=1.0, high=1.0)}
    """
    names = check_metrics(metrics, task)
    if num_resamples < 1:
        raise ValueError(f"num_resamples is {num_resamples}, but at least 1 resample is needed.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, but must lie between 0 and 1, for example 0.95.")
    batch = check_batch(y_pred, y, inputs, task, class_names, threshold, num_bins, paper)
    name_missing(batch)

    members = members_of(groups, len(batch.onehot))
    drawn = resampled_terms([batch], names, members, num_resamples, seed)[0]
    found = {}
    for name in names:
        whole = terms(name, batch)
        found[name] = percentile_interval(mean_of(whole), fixed_means(whole, drawn[name]), confidence)
    return found


def resampled_terms(
    batches: Sequence[CheckedBatch], names: Sequence[str], members: Sequence[np.ndarray], num_resamples: int, seed: int
) -> list[dict[str, np.ndarray]]:
    """
    What each metric's scalar is the mean of, in every resample.

    Args:
        batches: of the same images, which are drawn together.

    Returns:
        for each batch: metric → ``(resamples, terms)``.
    """
    images = len(batches[0].onehot)
    draws = draw_groups(members, num_resamples, seed)
    parts: list[dict[str, list[np.ndarray]]] = [{name: [] for name in names} for _ in batches]
    while rows := list(islice(draws, AT_ONCE)):
        weights = np.stack([np.bincount(one, minlength=images) for one in rows]).astype(np.float64)
        for batch, found in zip(batches, parts, strict=True):
            weighted = WeightedBatch(batch, weights)
            for name in names:
                found[name].append(weighted.terms(name))
    return [{name: np.concatenate(found[name] or [np.empty((0, 0))]) for name in names} for found in parts]


def fixed_means(whole: np.ndarray, drawn: np.ndarray) -> list[float]:
    """
    The mean over classes of every resample, always over the same classes.

    Args:
        whole: values of all images, a value per class: those that are not NaN count.
        drawn: the same of each resample; what is not defined there is taken from the next resample in which it is.

    Example::

        >>> fixed_means(np.array([0.5, 1.0, np.nan]), np.array([[0.5, np.nan, 0.0], [0.0, 1.0, 0.0]]))
        [0.75, 0.5]
    """
    if not len(drawn) or np.isnan(whole).all():
        return []
    counted = np.ascontiguousarray(drawn[:, ~np.isnan(whole)])
    for values in counted.T:
        defined = np.flatnonzero(~np.isnan(values))
        if 0 < len(defined) < len(values):
            values[:] = values[defined[np.searchsorted(defined, np.arange(len(values))) % len(defined)]]
    return [float(row.mean()) for row in counted]


def members_of(groups: Sequence[Any] | None, images: int) -> list[np.ndarray]:
    """
    The rows of each group, or of each image where there are no groups.

    Raises:
        ValueError: when there is not one group per image.
    """
    if groups is not None and len(groups) != images:
        raise ValueError(f"groups has {len(groups)} entries, but there are {images} images.")
    return list(rows_of_groups(range(images) if groups is None else groups).values())


def rows_of_groups(groups: Iterable[Any]) -> dict[Any, np.ndarray]:
    """The rows of every group, in the order in which groups first appear."""
    rows: dict[Any, list[int]] = {}
    for index, group in enumerate(groups):
        rows.setdefault(group, []).append(index)
    return {group: np.asarray(indices) for group, indices in rows.items()}


def draw_groups(members: Sequence[np.ndarray], num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """As many groups as there are, drawn with replacement, again and again: their rows, some several times."""
    rng = np.random.Generator(np.random.PCG64(seed))
    for _ in range(num_resamples):
        yield np.concatenate([members[i] for i in rng.integers(0, len(members), size=len(members))])


def group_weights(groups: Sequence[Any], num_resamples: int, seed: int) -> np.ndarray:
    """
    How often each image is drawn when whole groups are, for measures that take weights.

    Args:
        groups: patient, study or lesion of each image; they are drawn in the order of their names.
        num_resamples: how often.
        seed: same seed, same draws.

    Returns:
        counts of shape (resamples, images).

    Example::

        >>> group_weights(["a", "a", "b"], 2, seed=0)
        array([[0., 0., 2.],
               [1., 1., 1.]])
    """
    rows = rows_of_groups(map(str, groups))
    members = [rows[group] for group in sorted(rows)]
    drawn = [np.bincount(one, minlength=len(groups)) for one in draw_groups(members, num_resamples, seed)]
    return np.asarray(drawn, dtype=np.float64)
