# SPDX-License-Identifier: Apache-2.0

"""Means with their intervals and tests, and the correction for many tests: what tables of results say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from monai_ept.metrics.interval import Interval

__all__ = ["FEWEST", "NOTHING", "Estimate", "estimate", "holm", "stratified_estimate"]

FEWEST = 5
"""Repetitions from which a report shows an interval and a test: of two or three, the spread itself is chance."""

EQUAL = 1e-12
"""Values whose spread is below this share of their size are the same number, rounded differently."""


class Estimate(NamedTuple):
    """
    A mean with its 95 % interval, and a test of whether it is zero.

    The interval has no ends where nothing varies that could be measured: for a single value. ``p`` is two-sided and
    NaN where no test can be made: for a single value, and for values that are all the same but not zero, of whose
    spread nothing is known. ``number`` is how many values there were.
    """

    interval: Interval
    p: float = math.nan
    number: int = 0

    @property
    def mean(self) -> float:
        return self.interval.value


NOTHING = Estimate(Interval(math.nan))


def estimate(values: Sequence[float], fewest: int = 2) -> Estimate:
    """
    Mean of independent values, its 95 % interval and the test against zero, by Student's t.

    Of differences, this is the paired t-test. Fewer values than ``fewest`` have their mean and nothing else, no value
    at all is NaN.

    Example::

        >>> estimate([0.50, 0.54, 0.52]).interval
        Interval(value=0.52, low=0.47031724577365654, high=0.5696827542263435)
    """
    return stratified_estimate([values], fewest) if values else NOTHING


def stratified_estimate(strata: Sequence[Sequence[float]], fewest: int = 2) -> Estimate:
    """
    Mean of the means of several samples, each of which counts the same and varies in its own way.

    The variance is that of the samples' means, the degrees of freedom are Welch's and Satterthwaite's: samples need
    neither the same mean, nor the same variance, nor the same size. What is estimated is the mean over just these
    samples; it says nothing about others.

    Args:
        strata: the samples, for example differences on each of several data sets; none may be empty.
        fewest: values that each sample needs for an interval and a test, two or more.

    Raises:
        ValueError: when there is no sample, or an empty one.

    Returns:
        the estimate; without interval and test when a sample has too few values.
    """
    if not strata or not all(len(values) for values in strata):
        raise ValueError("a stratified estimate needs at least one value of each sample, leave empty ones out.")
    number = sum(len(values) for values in strata)
    means = [fmean(values) for values in strata]
    mean = fmean(means)
    if any(len(values) < fewest for values in strata):
        return Estimate(Interval(mean), math.nan, number)
    size = max(abs(value) for values in strata for value in values)
    if size == 0:
        return Estimate(Interval(0.0, 0.0, 0.0), 1.0, number)
    squares = [  # of the standard errors of the samples' means
        math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1) / len(values)
        for values, middle in zip(strata, means, strict=True)
    ]
    total = math.fsum(squares)
    if math.sqrt(total) <= EQUAL * size:
        return Estimate(Interval(mean, mean, mean), math.nan, number)
    from scipy.stats import t

    error = math.sqrt(total) / len(strata)
    freedom = total**2 / math.fsum(
        square**2 / (len(values) - 1) for square, values in zip(squares, strata, strict=True)
    )
    half = float(t.ppf(0.975, freedom)) * error
    p = 2 * float(t.sf(abs(mean) / error, freedom))
    return Estimate(Interval(mean, mean - half, mean + half), p, number)


def holm(p_values: Sequence[float]) -> list[float]:
    """
    Holm's correction: the chance of any wrong rejection among all these tests stays below the level.

    Args:
        p_values: of the tests that are corrected together, whatever the dependence between them; NaN for tests that
            could not be made, which do not count.

    Returns:
        adjusted p values, in the same order.

    Example::

        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = highest
    return adjusted
