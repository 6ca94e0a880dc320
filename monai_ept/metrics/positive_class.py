# SPDX-License-Identifier: Apache-2.0

"""One class that is looked for, against all others: at which probability it is claimed, and what the claim is worth."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monai_ept.checks import check_choice, check_mapping, check_number, check_text, did_you_mean, shown
from monai_ept.metrics.interval import Interval, percentile_interval

__all__ = ["CHOSEN", "PositiveClass", "binary_metrics", "choose_threshold", "is_class"]

CHOSEN = "'youden', 'sensitivity 0.95' or 'specificity 0.95'"
"""Operating points that validation images decide on."""
_AT_LEAST = re.compile(r"(sensitivity|specificity) (0?\.\d+)")


@dataclass(frozen=True)
class PositiveClass:
    """
    The class that is looked for.

    Args:
        name: of the class.
        operating_point: the probability from which on it is claimed; or how validation images choose that: "youden"
            (highest sensitivity + specificity), "sensitivity 0.95" or "specificity 0.95" (at least so much of the one,
            and then as much as there is of the other).
        prevalence: share of positive images where the network is to be used, for the predictive values there.

    Example::

        >>> PositiveClass.of({"name": "melanoma", "operating_point": "sensitivity 0.95"}).is_chosen
        True
    """

    name: str
    operating_point: float | str = 0.5
    prevalence: float | None = None

    def __post_init__(self) -> None:
        check_text("positive", self.name)
        point = self.operating_point
        if isinstance(point, str) and re.fullmatch(r"\d*\.?\d+", point):  # from a command line
            object.__setattr__(self, "operating_point", float(point))
            point = self.operating_point
        if not isinstance(point, str):
            check_number("operating_point", point, above=0, below=1)
        elif point != "youden" and not _AT_LEAST.fullmatch(point):
            raise ValueError(f"operating_point {shown(point)} is neither a probability nor {CHOSEN}.")
        if self.prevalence is not None:
            check_number("prevalence", self.prevalence, above=0, below=1)

    @classmethod
    def of(cls, given: PositiveClass | Mapping[str, Any] | str | None) -> PositiveClass | None:
        """From its name, or a mapping of the arguments; None stays None."""
        if given is None or isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            return cls(check_text("positive", given))
        given = check_mapping("positive", given, "{'name': 'melanoma', 'operating_point': 'youden'}")
        for key in given:
            check_choice("positive", key, cls.__dataclass_fields__)
        if "name" not in given:
            raise ValueError(f"positive must say the name of a class, got {shown(given)}.")
        return cls(**given)

    def check(self, class_names: Sequence[str], validated: bool = True) -> PositiveClass:
        """
        Refuse what cannot be.

        Args:
            validated: whether there are validation images.
        """
        if self.name not in class_names:
            raise ValueError(f"positive {self.name!r} is no class: {did_you_mean(self.name, class_names)}")
        if self.is_chosen and not validated:
            raise ValueError(
                f"operating_point {self.operating_point!r} is chosen on validation images and there are none: "
                "split with val='shots' (--select val in a bundle), or give a probability."
            )
        return self

    @property
    def is_chosen(self) -> bool:
        """Whether validation images decide on the threshold."""
        return isinstance(self.operating_point, str)

    def to_dict(self) -> dict[str, Any]:
        """The arguments, as JSON has them."""
        return asdict(self)


def is_class(labels: np.ndarray, index: int) -> np.ndarray:
    """Which images carry a class, of labels of both kinds."""
    labels = np.asarray(labels)
    return np.asarray(labels[:, index] == 1 if labels.ndim == 2 else labels == index)


def choose_threshold(scores: np.ndarray, truth: np.ndarray, operating_point: float | str) -> float:
    """
    The probability from which on the positive class is claimed.

    It lies halfway between the last image that is to be claimed and the first that is not.

    Args:
        operating_point: as :py:class:`PositiveClass` has it.

    Raises:
        ValueError: when all images are positive, or none is.

    Example::

        >>> choose_threshold(np.array([0.9, 0.6, 0.3, 0.1]), np.array([True, True, False, False]), "youden")
        0.45
    """
    if not isinstance(operating_point, str):
        return float(operating_point)
    if truth.all() or not truth.any():
        raise ValueError(
            f"operating_point {operating_point!r} needs validation images with the positive class and without it, and "
            f"{'all' if truth.all() else 'none'} of the {len(truth)} carry it: give a probability instead."
        )
    from sklearn.metrics import roc_curve

    false_positive, sensitivity, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    specificity = 1 - false_positive
    if operating_point == "youden":
        best = int(np.argmax(sensitivity + specificity))
    else:
        wanted, least = operating_point.split()
        reached = (sensitivity if wanted == "sensitivity" else specificity) >= float(least) - 1e-12
        # From left to right ever more is claimed: sensitivity grows, specificity falls.
        best = int(np.flatnonzero(reached)[0 if wanted == "sensitivity" else -1])
    below = scores[scores < thresholds[best]]
    above = min(float(thresholds[best]), 1.0)  # the first threshold is infinite: nothing is claimed
    return (above + (float(below.max()) if len(below) else 0.0)) / 2


def binary_metrics(
    scores: np.ndarray,
    truth: np.ndarray,
    threshold: float,
    *,
    prevalence: float | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Interval]:
    """
    What claiming the positive class from a threshold on is worth, with bootstrap intervals.

    Args:
        threshold: claimed from this probability on.
        prevalence: share of positives elsewhere; adds "ppv_at_prevalence" and "npv_at_prevalence", which follow from
            sensitivity and specificity by Bayes' rule.
        weights: how often each resample draws each image, see ``group_weights``; None gives values alone.

    Returns:
        "sensitivity", "specificity", "ppv" (positive predictive value) and "npv", each NaN where it is not defined.

    Example::

        >>> found = binary_metrics(np.array([0.9, 0.6, 0.3, 0.1]), np.array([True, False, True, False]), 0.5,
        ...                        prevalence=0.1)
        >>> found["sensitivity"].value, round(found["ppv_at_prevalence"].value, 3)
        (0.5, 0.1)
    """
    claimed = np.asarray(scores) >= threshold
    truth = np.asarray(truth, dtype=bool)
    cells = np.stack([truth & claimed, truth & ~claimed, ~truth & claimed, ~truth & ~claimed], axis=1).astype(float)
    values = _of_counts(cells.sum(axis=0), prevalence)
    if weights is None:
        return {name: Interval(float(value)) for name, value in values.items()}
    drawn = _of_counts((weights @ cells).T, prevalence)
    return {name: percentile_interval(float(value), drawn[name].tolist()) for name, value in values.items()}


def _of_counts(counts: np.ndarray, prevalence: float | None) -> dict[str, np.ndarray]:
    """Of true positives, false negatives, false positives and true negatives."""
    found, missed, wrong, spared = counts
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = found / (found + missed), spared / (spared + wrong)
        values = {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": found / (found + wrong),
            "npv": spared / (spared + missed),
        }
        if prevalence is not None:
            share, rest = prevalence, 1 - prevalence
            claimed = sensitivity * share + (1 - specificity) * rest
            not_claimed = specificity * rest + (1 - sensitivity) * share
            values["ppv_at_prevalence"] = sensitivity * share / claimed
            values["npv_at_prevalence"] = specificity * rest / not_claimed
    return {name: np.where(np.isfinite(value), value, math.nan) for name, value in values.items()}
