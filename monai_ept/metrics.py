# SPDX-License-Identifier: Apache-2.0

"""Classification metrics for few-shot results: one call, a plain dictionary of floats, no silent special cases.

The numbers come from MONAI (AUC, average precision, confusion counts, calibration bins) and scikit-learn (kappa). What
is added here is what goes wrong around them: the activation is applied exactly once, a class that no image carries is
NaN and named instead of 0 or somebody else's value, and bad input is an error before anything is computed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

__all__ = ["METRIC_NAMES", "Interval", "bootstrap_interval", "classification_metrics"]

Task = Literal["multiclass", "multilabel"]
Inputs = Literal["logits", "probabilities"]
ArrayLike = torch.Tensor | np.ndarray | Sequence[Any]

METRIC_NAMES = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "map",
    "sensitivity",
    "specificity",
    "f1",
    "kappa",
    "ece",
    "brier",
)
"""The scalars that :py:func:`classification_metrics` returns for both tasks; multi-label adds ``exact_match``."""


class Interval(NamedTuple):
    """A value with the two ends of its confidence interval."""

    value: float
    low: float
    high: float


def classification_metrics(
    y_pred: ArrayLike,
    y: ArrayLike,
    *,
    inputs: Inputs,
    task: Task = "multiclass",
    class_names: Sequence[str] | None = None,
    threshold: float = 0.5,
    num_bins: int = 15,
    paper: bool = False,
) -> dict[str, Any]:
    """Every metric of an evaluation in one plain dictionary.

    Multi-class: the decision is the highest probability; AUC, average precision, sensitivity, specificity and F1 are
    one class against the rest. Multi-label: every label is a decision of its own at ``threshold``, and every scalar is
    the mean over labels, except ``exact_match``, the share of images with all labels right.

    A class that no image carries has NaN in every per-class metric, is listed under ``"absent"``, is named in a
    warning, and is left out of every mean. A class that every image carries has no AUC and no specificity; it is
    listed under ``"always_present"``.

    Args:
        y_pred: scores of shape (images, classes), tensor, array or list of per-image tensors.
        y: multi-class: class indices of shape (images,); multi-label: 0 or 1 of shape (images, classes).
        inputs: what ``y_pred`` holds, "logits" or "probabilities". Softmax (multi-class) or sigmoid (multi-label) is
            applied to logits, and to nothing else.
        task: "multiclass" or "multilabel".
        class_names: one name per class; "class_0", "class_1", … if left out.
        threshold: multi-label: a probability of at least this is a yes.
        num_bins: bins of equal width for the expected calibration error.
        paper: count an absent class as 0 in ``map``, as the paper's released code does, instead of leaving it out.

    Raises:
        ValueError: when scores or labels are empty, not finite, of the wrong shape or out of range, or when an
            argument has no meaning.

    Returns:
        the scalars of :py:data:`METRIC_NAMES` as floats, ``"num_images"``, ``"per_class"`` (metric → class name →
        float), ``"support"`` (class name → number of images), ``"absent"`` and ``"always_present"`` (class names).

    Example::

        >>> result = classification_metrics([[2.0, 0.0], [0.5, 1.0], [1.0, 0.0]], [0, 1, 1], inputs="logits",
        ...                                 class_names=["benign", "malignant"])
        >>> round(result["accuracy"], 3), round(result["per_class"]["sensitivity"]["malignant"], 3)
        (0.667, 0.5)
    """
    batch = _check(y_pred, y, inputs, task, class_names, threshold, num_bins, paper)
    absent, always = _name_missing(batch)

    result: dict[str, Any] = {}
    per_class: dict[str, dict[str, float]] = {}
    for name in _metric_names(task):
        result[name], values = _METRICS[name](batch)
        if values is not None:
            key = "average_precision" if name == "map" else name
            per_class[key] = dict(zip(batch.class_names, values.tolist(), strict=True))
    support = batch.onehot.sum(axis=0).tolist()
    return {
        **result,
        "num_images": len(batch.onehot),
        "per_class": per_class,
        "support": dict(zip(batch.class_names, support, strict=True)),
        "absent": absent,
        "always_present": always,
    }


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

    It says nothing about another choice of the few training images; that takes several splits. A resample in which a
    metric is undefined (a rare class drew no image and no other class is left) is left out of the percentiles.

    Args:
        y_pred: as in :py:func:`classification_metrics`.
        y: as in :py:func:`classification_metrics`.
        inputs: "logits" or "probabilities".
        task: "multiclass" or "multilabel".
        metrics: names from :py:data:`METRIC_NAMES`. All of them are computed on the same resamples.
        class_names: one name per class.
        threshold: multi-label decision threshold.
        num_bins: bins of the expected calibration error.
        paper: count an absent class as 0 in ``map``.
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
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    known = _metric_names(task)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"metrics has the unknown name {unknown[0]!r}; for task={task!r} choose from {list(known)}.")
    if num_resamples < 1:
        raise ValueError(f"num_resamples is {num_resamples}, but at least 1 resample is needed.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, but must lie between 0 and 1, for example 0.95.")
    batch = _check(y_pred, y, inputs, task, class_names, threshold, num_bins, paper)
    _name_missing(batch)

    members = _members(groups, len(batch.onehot))
    rng = np.random.Generator(np.random.PCG64(seed))
    samples = np.empty((num_resamples, len(names)))
    for row in samples:
        drawn = rng.integers(0, len(members), size=len(members))
        resample = batch.take(np.concatenate([members[i] for i in drawn]))
        row[:] = [_METRICS[name](resample)[0] for name in names]

    tail = 100 * (1 - confidence) / 2
    intervals = {}
    for name, column in zip(names, samples.T, strict=True):
        defined = column[~np.isnan(column)]
        low, high = np.percentile(defined, [tail, 100 - tail]).tolist() if len(defined) else (math.nan, math.nan)
        intervals[name] = Interval(_METRICS[name](batch)[0], low, high)
    return intervals


@dataclass(frozen=True)
class _Batch:
    """Checked input: probabilities, decisions and labels, all of shape (images, classes)."""

    probabilities: np.ndarray
    decisions: np.ndarray
    onehot: np.ndarray
    task: str
    class_names: tuple[str, ...]
    num_bins: int
    paper: bool
    zero_in_map: np.ndarray  # classes that count 0 in map: with paper=True, those absent from the whole test set

    def take(self, rows: np.ndarray) -> _Batch:
        return replace(
            self, probabilities=self.probabilities[rows], decisions=self.decisions[rows], onehot=self.onehot[rows]
        )

    @property
    def present(self) -> np.ndarray:
        return np.asarray(self.onehot.any(axis=0))


def _metric_names(task: str) -> tuple[str, ...]:
    return (*METRIC_NAMES, "exact_match") if task == "multilabel" else METRIC_NAMES


# ---------------------------------------------------------------------------------------------------------- checking


def _to_numpy(data: ArrayLike, name: str) -> np.ndarray:
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, torch.Tensor) for item in data):
        try:
            data = torch.stack([torch.as_tensor(item) for item in data])  # what decollate_batch leaves behind
        except RuntimeError:
            raise ValueError(f"{name} is a list of tensors of different shapes.") from None
    if isinstance(data, torch.Tensor):
        # float64 before numpy, which has no bfloat16
        return np.asarray(data.detach().to("cpu", torch.float64).numpy())
    try:
        return np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} cannot be read as an array of numbers.") from None


def _check(
    y_pred: ArrayLike,
    y: ArrayLike,
    inputs: str,
    task: str,
    class_names: Sequence[str] | None,
    threshold: float,
    num_bins: int,
    paper: bool,
) -> _Batch:
    if inputs not in ("logits", "probabilities"):
        raise ValueError(f'inputs is {inputs!r}, but must say what y_pred holds: "logits" or "probabilities".')
    if task not in ("multiclass", "multilabel"):
        raise ValueError(f'task is {task!r}, but must be "multiclass" or "multilabel".')
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}, but is compared with probabilities and must lie in [0, 1].")
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}, but the calibration error needs at least 1 bin.")

    scores = _to_numpy(y_pred, "y_pred")
    if scores.size == 0:
        raise ValueError(f"y_pred is empty (shape {scores.shape}), so there is nothing to evaluate.")
    if scores.ndim != 2:
        raise ValueError(f"y_pred has shape {scores.shape}, but must be (images, classes).")
    if task == "multiclass" and scores.shape[1] < 2:
        raise ValueError(f'y_pred has shape {scores.shape}, but task="multiclass" needs two or more columns.')
    bad_rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad_rows):
        raise ValueError(
            f"y_pred has NaN or infinite scores in {len(bad_rows)} of {len(scores)} images, first in row {bad_rows[0]}."
        )
    onehot = _check_labels(_to_numpy(y, "y"), scores.shape, task)
    probabilities = _activate(scores, inputs, task)

    num_classes = scores.shape[1]
    names = tuple(f"class_{i}" for i in range(num_classes)) if class_names is None else tuple(class_names)
    if len(names) != num_classes:
        raise ValueError(f"class_names has {len(names)} names, but y_pred has {num_classes} classes.")
    if len(set(names)) != len(names):
        raise ValueError(f"class_names has the same name twice: {list(names)}.")

    if task == "multiclass":
        decisions = np.eye(num_classes, dtype=np.int64)[probabilities.argmax(axis=1)]
    else:
        decisions = (probabilities >= threshold).astype(np.int64)
    zero_in_map = np.asarray(~onehot.any(axis=0) & paper)
    return _Batch(probabilities, decisions, onehot, task, names, int(num_bins), bool(paper), zero_in_map)


def _check_labels(labels: np.ndarray, shape: tuple[int, ...], task: str) -> np.ndarray:
    num_images, num_classes = shape
    if task == "multiclass" and labels.shape == (num_images, 1):
        labels = labels[:, 0]
    expected = (num_images,) if task == "multiclass" else (num_images, num_classes)
    if labels.shape != expected:
        meaning = "one class index per image" if task == "multiclass" else "a 0 or 1 for every image and class"
        raise ValueError(
            f'y has shape {labels.shape}, but task="{task}" with y_pred of shape {shape} needs {expected}, {meaning}.'
        )
    highest = num_classes - 1 if task == "multiclass" else 1
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(labels) | (labels != np.floor(labels)) | (labels < 0) | (labels > highest)
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        allowed = f"a whole number from 0 to {highest}" if task == "multiclass" else "0 or 1"
        place = f"row {where[0]}" if task == "multiclass" else f"row {where[0]}, column {where[1]}"
        raise ValueError(f"y has the label {labels[tuple(where)]:g} in {place}, but a label must be {allowed}.")
    labels = labels.astype(np.int64)
    return np.eye(num_classes, dtype=np.int64)[labels] if task == "multiclass" else labels


def _activate(scores: np.ndarray, inputs: str, task: str) -> np.ndarray:
    """Probabilities from the scores: the one place where an activation is applied."""
    in_range = bool(((scores >= 0) & (scores <= 1)).all())
    sums_to_one = bool(np.allclose(scores.sum(axis=1), 1, atol=1e-3))
    if inputs == "probabilities":
        if not in_range:
            raise ValueError(
                f"y_pred reaches from {scores.min():g} to {scores.max():g}, which are no probabilities; "
                'say inputs="logits" if no softmax or sigmoid was applied.'
            )
        if task == "multiclass" and not sums_to_one:
            row = int(np.abs(scores.sum(axis=1) - 1).argmax())
            raise ValueError(
                f"y_pred has probabilities that sum to {scores[row].sum():g} in row {row}, but those of one image must "
                "sum to 1."
            )
        return scores
    if task == "multilabel":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-scores)))
    if in_range and sums_to_one:
        warnings.warn(
            'y_pred looks like probabilities, yet inputs="logits" applies softmax to it; '
            'say inputs="probabilities" if softmax was applied already.',
            stacklevel=4,
        )
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _name_missing(batch: _Batch) -> tuple[list[str], list[str]]:
    counts = batch.onehot.sum(axis=0)
    absent = [name for name, count in zip(batch.class_names, counts, strict=True) if count == 0]
    always = [name for name, count in zip(batch.class_names, counts, strict=True) if count == len(batch.onehot)]
    if absent:
        convention = "counts 0 in map (paper=True) and is NaN elsewhere" if batch.paper else "is NaN"
        warnings.warn(
            f"no image is labelled {', '.join(absent)}: such a class {convention} and is left out of the means.",
            stacklevel=3,
        )
    if always:
        warnings.warn(f"every image is labelled {', '.join(always)}: AUC and specificity are NaN there.", stacklevel=3)
    return absent, always


def _members(groups: Sequence[Any] | None, num_images: int) -> list[np.ndarray]:
    """The rows of every unit that the bootstrap draws."""
    if groups is None:
        return list(np.arange(num_images)[:, None])
    if len(groups) != num_images:
        raise ValueError(f"groups has {len(groups)} entries, but there are {num_images} images.")
    rows: dict[Any, list[int]] = {}
    for index, group in enumerate(groups):
        rows.setdefault(group, []).append(index)
    return [np.asarray(indices) for indices in rows.values()]


# --------------------------------------------------------------------------------------------------------- computing
# Every metric is a function of the checked batch that returns its scalar and, where it has them, its per-class values.


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, math.nan)


def _confusion(batch: _Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True negatives, false positives, false negatives and true positives per class, NaN for absent classes."""
    from monai.metrics import get_confusion_matrix

    per_image = get_confusion_matrix(torch.from_numpy(batch.decisions), torch.from_numpy(batch.onehot))
    counts = per_image.double().sum(dim=0).numpy()
    counts[~batch.present] = math.nan
    true_positive, false_positive, true_negative, false_negative = counts.T
    return true_negative, false_positive, false_negative, true_positive


def _accuracy(batch: _Batch) -> tuple[float, np.ndarray | None]:
    right = batch.decisions == batch.onehot
    if batch.task == "multiclass":
        return float(right.all(axis=1).mean()), None
    values = np.where(batch.present, right.mean(axis=0), math.nan)
    return _mean(values), values


def _exact_match(batch: _Batch) -> tuple[float, None]:
    return float((batch.decisions == batch.onehot).all(axis=1).mean()), None


def _sensitivity(batch: _Batch) -> tuple[float, np.ndarray]:
    _, _, false_negative, true_positive = _confusion(batch)
    values = _ratio(true_positive, true_positive + false_negative)
    return _mean(values), values


def _specificity(batch: _Batch) -> tuple[float, np.ndarray]:
    true_negative, false_positive, _, _ = _confusion(batch)
    values = _ratio(true_negative, true_negative + false_positive)
    return _mean(values), values


def _balanced_accuracy(batch: _Batch) -> tuple[float, np.ndarray | None]:
    sensitivity = _sensitivity(batch)
    if batch.task == "multiclass":
        return sensitivity[0], None
    values = (sensitivity[1] + _specificity(batch)[1]) / 2
    return _mean(values), values


def _f1(batch: _Batch) -> tuple[float, np.ndarray]:
    _, false_positive, false_negative, true_positive = _confusion(batch)
    values = _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative)
    return _mean(values), values


def _auc(batch: _Batch) -> tuple[float, np.ndarray]:
    from monai.metrics import compute_roc_auc

    values = _ranked(batch, compute_roc_auc)
    return _mean(values), values


def _map(batch: _Batch) -> tuple[float, np.ndarray]:
    from monai.metrics import compute_average_precision

    values = _ranked(batch, compute_average_precision)
    values[batch.onehot.all(axis=0)] = 1.0  # no negative can rank above a positive; MONAI says NaN, scikit-learn 1
    return _mean(np.where(batch.zero_in_map, 0.0, values)), values


def _ranked(batch: _Batch, metric: Callable[..., Any]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing classes are named once, by name, in _name_missing
        values = metric(torch.from_numpy(batch.probabilities), torch.from_numpy(batch.onehot), average="none")
    return np.array(values, dtype=np.float64).reshape(-1)


def _kappa(batch: _Batch) -> tuple[float, np.ndarray | None]:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")  # one class only, decided right everywhere: 0 / 0, which is NaN
        if batch.task == "multiclass":
            labels, decisions = batch.onehot.argmax(axis=1), batch.decisions.argmax(axis=1)
            return float(cohen_kappa_score(labels, decisions, labels=range(batch.onehot.shape[1]))), None
        values = np.full(batch.onehot.shape[1], math.nan)
        for index in np.flatnonzero(batch.present):
            values[index] = cohen_kappa_score(batch.onehot[:, index], batch.decisions[:, index], labels=[0, 1])
    return _mean(values), values


def _ece(batch: _Batch) -> tuple[float, np.ndarray | None]:
    if batch.task == "multiclass":
        # the usual definition: is the top class right as often as its probability says?
        right = (batch.decisions == batch.onehot).all(axis=1)[:, None]
        confidence = batch.probabilities.max(axis=1)[:, None]
        return float(_calibration_error(confidence, right, batch.num_bins)[0]), None
    values = _calibration_error(batch.probabilities, batch.onehot, batch.num_bins)
    values = np.where(batch.present, values, math.nan)
    return _mean(values), values


def _calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int) -> np.ndarray:
    """Expected calibration error of every column."""
    from monai.metrics import calibration_binning

    # MONAI bins along the last axis, in float32
    predicted, observed, counts = calibration_binning(
        torch.from_numpy(confidence.T[None].copy()), torch.from_numpy(right.T[None].astype(np.float64)), num_bins
    )
    gaps = (predicted - observed).abs().nan_to_num() * counts  # empty bins are NaN and weigh nothing
    return np.asarray((gaps.double().sum(-1) / counts.double().sum(-1))[0].numpy())


def _brier(batch: _Batch) -> tuple[float, np.ndarray | None]:
    squared = (batch.probabilities - batch.onehot) ** 2
    if batch.task == "multiclass":
        # scikit-learn's convention: summed over classes, halved for two classes, where it is the binary Brier score
        total = float(squared.sum(axis=1).mean())
        return total / 2 if squared.shape[1] == 2 else total, None
    values = np.where(batch.present, squared.mean(axis=0), math.nan)
    return _mean(values), values


_METRICS: dict[str, Callable[[_Batch], tuple[float, np.ndarray | None]]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "auc": _auc,
    "map": _map,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "f1": _f1,
    "kappa": _kappa,
    "ece": _ece,
    "brier": _brier,
    "exact_match": _exact_match,
}
