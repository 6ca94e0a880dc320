# SPDX-License-Identifier: Apache-2.0

"""Split conformal prediction: sets of classes that hold the true one as often as promised, for patients to come.

The score of an image is 1 minus the probability of its true class, which gives the smallest sets on average (Sadinle,
Lei and Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA 2019). Images of one patient
are not independent: all those of a patient weigh together as much as one patient, and the patient to come weighs as
much with a score beyond all others (Lee, Barber and Willett, "Distribution-free inference with hierarchical data",
2023). That is valid for any image of a new patient, draws nothing at random, and with one image per patient is the
usual quantile, the ceil((n + 1) · coverage)-th smallest of n scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from monai_ept.checks import check_choice, check_mapping, check_number, check_whole
from monai_ept.metrics.bootstrap import rows_of_groups

__all__ = [
    "COVERAGE",
    "SOURCES",
    "PredictionSets",
    "calibrate",
    "conformal_threshold",
    "coverage_range",
    "fewest_groups",
]

COVERAGE = 0.9
SOURCES = ("validation", "selection", "left out")
"""Images that a threshold comes from: of validation; of validation, that have chosen something of the network too; of
training, each predicted by a head that had not seen its group."""


@dataclass(frozen=True)
class PredictionSets:
    """
    What makes sets of classes from a network's probabilities; a delta carries it as it carries the temperature.

    Args:
        coverage: how often a set is to hold the true class, for images of new patients.
        threshold: largest score that belongs into a set, of several labels one for each; None where the calibration
            images are of too few groups to promise anything: the sets hold everything then.
        groups: patients, studies or lesions that it comes from.
        images: how many of their images.
        source: one of ``SOURCES``.
    """

    coverage: float
    threshold: float | tuple[float, ...] | None
    groups: int
    images: int
    source: str

    def __post_init__(self) -> None:
        check_number("coverage", self.coverage, above=0, below=1)
        for value in self.threshold if isinstance(self.threshold, tuple) else (self.threshold,):
            if value is not None:
                check_number("threshold", value, least=0, most=1)
        check_whole("groups", self.groups)
        check_whole("images", self.images, least=self.groups)
        check_choice("source", self.source, SOURCES)

    @classmethod
    def from_record(cls, record: Any, num_classes: int) -> PredictionSets | None:
        """
        What ``record`` has written, and None of None.

        Raises:
            ValueError: when it is nothing of the kind.
        """
        if record is None:
            return None
        values = check_mapping("prediction_sets", record, "their coverage and threshold")
        if values.keys() != cls.__dataclass_fields__.keys():
            raise ValueError(f"prediction_sets must have {', '.join(cls.__dataclass_fields__)}, got {sorted(values)}.")
        if isinstance(values["threshold"], list):
            values["threshold"] = tuple(values["threshold"])
            if len(values["threshold"]) != num_classes:
                raise ValueError(f"prediction_sets must have {num_classes} thresholds.")
        return cls(**values)

    @property
    def record(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        values = asdict(self)
        return {**values, "threshold": list(self.threshold)} if isinstance(self.threshold, tuple) else values

    def decide(self, probabilities: np.ndarray, task: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Sets of images, and where they leave no doubt.

        Multi-class: a class belongs into the set if it is probable enough; where none is, the set is the most probable
        one, and not sure. Multi-label: a label belongs into it if it cannot be ruled out.

        Returns:
            which classes are in the set, ``(images, classes)``; and where it is sure: ``(images,)``, that one class
            alone is probable enough, or with several labels ``(images, classes)``, yes or no and not both.

        Example::

            >>> sets = PredictionSets(0.9, 0.7, groups=40, images=40, source="validation")
            >>> held, sure = sets.decide(np.array([[0.8, 0.15, 0.05], [0.5, 0.4, 0.1]]), "multiclass")
            >>> held.tolist(), sure.tolist()
            ([[True, False, False], [True, True, False]], [True, False])
        """
        threshold = np.asarray(math.inf if self.threshold is None else self.threshold)
        yes = 1 - probabilities <= threshold
        if task == "multilabel":
            no = probabilities <= threshold
            return yes | ~no, yes != no
        best = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
        return np.where(yes.any(axis=1, keepdims=True), yes, best), yes.sum(axis=1) == 1


def conformal_threshold(scores: Sequence[float] | np.ndarray, groups: Sequence[Any], coverage: float) -> float:
    """
    The score that an image of a new group exceeds with a probability of at most 1 − coverage.

    Returns:
        infinity where there are fewer groups than ``fewest_groups``.

    Example::

        >>> conformal_threshold([0.1, 0.5, 0.3, 0.2], ["a", "b", "c", "d"], 0.6)  # the third of four
        0.3
    """
    scores = np.asarray(scores, dtype=np.float64)
    rows = rows_of_groups(groups)
    weights = np.empty(len(scores))
    for own in rows.values():
        weights[own] = 1 / len(own)
    order = np.argsort(scores, kind="stable")
    enough = np.cumsum(weights[order]) >= float(_exact(coverage) * (len(rows) + 1)) - 1e-9
    return float(scores[order[enough.argmax()]]) if enough.any() else math.inf


def fewest_groups(coverage: float) -> int:
    """
    How many calibration groups it takes to promise anything.

    Example::

        >>> fewest_groups(0.9), fewest_groups(0.95)
        (9, 19)
    """
    return math.ceil(_exact(coverage) / (1 - _exact(coverage)))


def _exact(coverage: float) -> Fraction:
    """As it is written: 0.9 is nine tenths, which no floating-point number is."""
    return Fraction(str(check_number("coverage", coverage, above=0, below=1)))


def calibrate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Any],
    *,
    task: str,
    source: str,
    coverage: float = COVERAGE,
) -> PredictionSets:
    """
    Find the threshold of a network's prediction sets.

    Args:
        probabilities: ``(images, classes)`` of calibration images, as the network gives them at its temperature.
        coverage: how often a set is to hold the true class; of several labels, for each by itself.
    """
    number = len(set(groups))
    threshold: float | tuple[float, ...] | None = None
    if number >= fewest_groups(coverage):
        if task == "multilabel":
            scores = np.where(labels.astype(bool), 1 - probabilities, probabilities)
            threshold = tuple(conformal_threshold(column, groups, coverage) for column in scores.T)
        else:
            truth = probabilities[np.arange(len(labels)), labels.astype(int)]
            threshold = conformal_threshold(1 - truth, groups, coverage)
    return PredictionSets(coverage, threshold, number, len(labels), source)


def coverage_range(coverage: float, groups: int) -> tuple[float, float]:
    """
    Where the coverage of one calibration lies, 95 times in 100, by the luck of which groups it has.

    It is exact for groups of one image, and wider than need be for others.

    Args:
        groups: of the calibration, ``fewest_groups`` or more.
    """
    from scipy.stats import beta

    rank = math.ceil(_exact(coverage) * (groups + 1))
    low, high = beta(rank, groups + 1 - rank).ppf([0.025, 0.975])
    return float(low), float(high)
