# SPDX-License-Identifier: Apache-2.0

"""How tight classes are, and how far apart: the paper's intra-class distance and its neighbours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monai_ept.metrics import Interval, group_weights, percentile_interval

__all__ = [
    "Change",
    "ClassDistances",
    "class_distances",
    "compare_features",
    "compare_widths",
    "separability",
    "single_classes",
]

RESAMPLES = 500


@dataclass(frozen=True)
class ClassDistances:
    """Spread of features within and between classes."""

    within: float  # trace of Σ_W = 1/N Σ_k Σ_i (x_ki − x̄_k)(x_ki − x̄_k)ᵀ, the paper's intra-class distance
    between: float  # trace of Σ_B = Σ_k N_k/N (x̄_k − x̄)(x̄_k − x̄)ᵀ
    per_class: np.ndarray  # mean squared distance of each class's features from their mean; NaN where it has no images

    @property
    def total(self) -> float:
        """Trace of the covariance of all features, the sum of the other two."""
        return self.within + self.between

    @property
    def within_share(self) -> float:
        """``within / total``: without a unit, so that networks whose features have other sizes can be compared."""
        return self.within / self.total if self.total else np.nan


def class_distances(features: np.ndarray, classes: np.ndarray, num_classes: int) -> ClassDistances:
    """
    Within-class and between-class spread.

    Args:
        features: ``(images, width)``.
        classes: class of each image.
        num_classes: how many classes there are.

    Example::

        >>> class_distances(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1]), 2).within
        1.0
    """
    onehot = np.asarray(classes)[:, None] == np.arange(num_classes)
    return _distances(features - features.mean(axis=0), onehot, np.ones(len(features)))


def _distances(centred: np.ndarray, onehot: np.ndarray, weights: np.ndarray) -> ClassDistances:
    """The same with a weight for each image, which is how a bootstrap repeats images."""
    shares = onehot * weights[:, None]
    counts = shares.sum(axis=0)
    there = counts > 0
    means = (shares.T @ centred)[there] / counts[there, None]
    squares = (shares.T @ (centred**2).sum(axis=1))[there] / counts[there]
    # E|x|² − |E x|², of features that are centred already, so that little is lost
    spread = np.maximum(squares - (means**2).sum(axis=1), 0)
    probabilities = counts[there] / counts.sum()
    overall = probabilities @ means
    per_class = np.full(onehot.shape[1], np.nan)
    per_class[there] = spread
    between = float(probabilities @ ((means - overall) ** 2).sum(axis=1))
    return ClassDistances(float(probabilities @ spread), between, per_class)


class Change(NamedTuple):
    """A number of the pretrained features, the same of the tuned ones, and a 95 % interval of the difference."""

    pretrained: float
    tuned: float
    low: float = np.nan
    high: float = np.nan

    @property
    def difference(self) -> float:
        return self.tuned - self.pretrained

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero; where it does not, the two are not told apart."""
        return Interval(self.difference, self.low, self.high).excludes_zero


def separability(
    features: np.ndarray, classes: np.ndarray, groups: Sequence[str], *, seed: int = 0
) -> tuple[np.ndarray, int]:
    """
    Predictions of a linear classifier for images that it was not trained on, nor on any image of their group.

    Logistic regression on standardised features (C = 0.1, classes weighted alike), cross-validated in up to five
    parts, with whole groups in one part. Classes of a single group cannot be predicted and have to be left out.

    Args:
        features: ``(images, width)``.
        classes: class of each image.
        groups: patient, study or lesion of each.
        seed: of the division into parts.

    Raises:
        ValueError: when a class has only one group, or there are fewer than two classes.

    Returns:
        the predicted class of each image, and the number of parts.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    groups_of = _groups_of(classes, groups)
    if len(groups_of) < 2 or min(groups_of.values()) < 2:
        raise ValueError(
            f"a linear classifier is tested on other groups than it is trained on, and the classes have "
            f"{groups_of} groups: it takes two classes of two groups each."
        )
    parts = min(5, *groups_of.values())
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    predicted = np.full(len(features), -1)
    for train, test in folds.split(features, classes, groups):
        if len(np.unique(classes[train])) < 2:
            continue  # the groups did not divide better; these images count as wrong
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that is not quite done is what the score says it is
            predicted[test] = model.fit(features[train], classes[train]).predict(features[test])
    return predicted, parts


def compare_features(
    pretrained: np.ndarray,
    tuned: np.ndarray,
    classes: np.ndarray,
    groups: Sequence[str],
    num_classes: int,
    *,
    seed: int = 0,
) -> tuple[dict[str, Change], int]:
    """
    All measures of both features of the same images.

    Intervals are of the difference, from a bootstrap over groups that takes the same groups for both. The silhouette
    and the classifier's predictions are those of all images; only their means are resampled.

    Args:
        pretrained: features ``(images, width)`` of the backbone alone.
        tuned: features of the tuned network.
        classes: class of each image.
        groups: patient, study or lesion of each.
        num_classes: how many classes there are.
        seed: of the bootstrap and the cross-validation.

    Returns:
        measure → values, and the parts of the cross-validation (0 if there was none). "within", "between" and "total"
        are traces in the features' own unit; "within_share" = within / total; "silhouette"; "separability", the
        balanced accuracy of :func:`separability`, on classes of two groups or more.
    """
    onehot = np.asarray(classes)[:, None] == np.arange(num_classes)
    weights = _weights(groups, seed)
    both = [features - features.mean(axis=0) for features in (pretrained, tuned)]

    def spreads(centred: np.ndarray, weight: np.ndarray) -> list[float]:
        found = _distances(centred, onehot, weight)
        return [found.within, found.between, found.total, found.within_share]

    changes = _changes(("within", "between", "total", "within_share"), spreads, both, weights)
    if 2 <= len(np.unique(classes)) < len(classes):
        from sklearn.metrics import silhouette_samples

        samples = [silhouette_samples(features, classes) for features in both]
        changes |= _changes(["silhouette"], lambda one, weight: [one @ weight / weight.sum()], samples, weights)
    usable = np.isin(classes, [k for k, number in _groups_of(classes, groups).items() if number > 1])
    parts = 0
    if len(np.unique(classes[usable])) > 1:
        kept = [group for group, use in zip(groups, usable, strict=True) if use]
        right = []
        for features in both:
            predicted, parts = separability(features[usable], classes[usable], kept, seed=seed)
            right.append(predicted == classes[usable])

        def balanced(one: np.ndarray, weight: np.ndarray) -> list[float]:
            shares = onehot[usable] * weight[:, None]
            counts = shares.sum(axis=0)
            return [float(np.mean((shares.T @ one)[counts > 0] / counts[counts > 0]))]

        changes |= _changes(["separability"], balanced, right, weights[:, usable])
    return changes, parts


def compare_widths(
    positions: Mapping[int, Sequence[np.ndarray]], classes: np.ndarray, groups: Sequence[str], *, seed: int = 0
) -> dict[int, Change]:
    """
    How wide classes are along a line (standard deviation), with the interval of ``compare_features``.

    Args:
        positions: of each class's images, pretrained and tuned.
    """
    weights = _weights(groups, seed)
    group = np.asarray(groups)

    def width(places: np.ndarray, weight: np.ndarray) -> list[float]:
        mean = places @ weight / weight.sum()
        return [float(np.sqrt((places - mean) ** 2 @ weight / weight.sum()))]

    found = {}
    for k, pair in positions.items():
        own = np.asarray(classes) == k
        drawn = weights[:, own] if len(np.unique(group[own])) > 1 else weights[:0, own]
        found[k] = _changes(["width"], width, pair, drawn)["width"]
    return found


def _weights(groups: Sequence[str], seed: int) -> np.ndarray:
    """Of each resample; there are none of a single group, which would be the same in all of them."""
    number = RESAMPLES if len(set(groups)) > 1 else 0
    return group_weights(groups, number, seed).reshape(number, len(groups))


def _changes(
    names: Sequence[str],
    measure: Callable[[np.ndarray, np.ndarray], Sequence[float]],
    both: Sequence[np.ndarray],
    weights: np.ndarray,
) -> dict[str, Change]:
    """What ``measure`` finds under these names, with the difference's interval over the weights of each resample."""
    pretrained, tuned = (measure(one, np.ones(weights.shape[1])) for one in both)
    drawn = [np.subtract(measure(both[1], weight), measure(both[0], weight)) for weight in weights if weight.any()]
    found = zip(names, pretrained, tuned, np.reshape(drawn, (-1, len(names))).T, strict=True)
    return {
        name: Change(float(one), float(other), *percentile_interval(other - one, differences.tolist())[1:])
        for name, one, other, differences in found
    }


def _groups_of(classes: np.ndarray, groups: Sequence[str]) -> dict[int, int]:
    """How many groups the images of each class come from."""
    return {int(k): len({groups[i] for i in np.flatnonzero(classes == k).tolist()}) for k in np.unique(classes)}


def single_classes(labels: np.ndarray, class_names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """
    One class per image, for what compares classes with each other.

    Args:
        labels: class indices ``(images,)``, or 0/1 ``(images, classes)``: there an image counts for its label if it
            has only one, as "no label" if it has none, and for no class (-1) if it has several.

    Returns:
        class of each image, and the names of all classes.

    Example::

        >>> single_classes(np.array([[1, 0], [0, 0], [1, 1]]), ["ulcer", "polyp"])
        (array([ 0,  2, -1]), ['ulcer', 'polyp', 'no label'])
    """
    names = list(class_names)
    if labels.ndim == 1:
        return labels.astype(np.int64), names
    number = labels.sum(axis=1)
    classes = np.select([number == 1, number == 0], [labels.argmax(axis=1), len(names)], default=-1)
    return classes, names + (["no label"] if (number == 0).any() else [])
