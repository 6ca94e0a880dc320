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
from functools import partial
from typing import Any

import numpy as np
import torch

from monai_ept.metrics.checked_batch import ArrayLike, CheckedBatch, Inputs, Task, check_batch, name_missing

__all__ = [
    "KEY_METRIC",
    "METRIC_NAMES",
    "check_metrics",
    "classification_metrics",
    "lower_is_better",
    "mean_of",
    "metric_names",
    "terms",
]

KEY_METRIC = {"multiclass": "balanced_accuracy", "multilabel": "map"}
"""By task, the metric that decides which epoch or which model is better, unless somebody chooses another."""
LOWER_IS_BETTER = ("ece", "brier", "loss", "epoch_seconds", "peak_memory_mb", "peak_gpu_memory_mb")


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is more; what stands before a slash, as in ``test/ece``, does not matter."""
    return metric.rpartition("/")[2] in LOWER_IS_BETTER


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
    warning, and is left out of every mean; a label that none carries still has its accuracy, specificity, ECE and
    Brier score. A class that every image carries has no AUC and no specificity; it is listed under
    ``"always_present"``.

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
    batch = check_batch(y_pred, y, inputs, task, class_names, threshold, num_bins, paper)
    absent, always = name_missing(batch)

    result: dict[str, Any] = {}
    per_class: dict[str, dict[str, float]] = {}
    for name in metric_names(task):
        values = METRICS[name](batch)
        result[name] = mean_of(_counted(name, values, batch))
        if not isinstance(values, float):
            key = "average_precision" if name == "map" else name
            per_class[key] = dict(zip(batch.class_names, values.tolist(), strict=True))
    return {
        **result,
        "num_images": len(batch.onehot),
        "per_class": per_class,
        "support": dict(zip(batch.class_names, batch.onehot.sum(axis=0).tolist(), strict=True)),
        "absent": absent,
        "always_present": always,
    }


def metric_names(task: str) -> tuple[str, ...]:
    """The scalars there are for a task."""
    return tuple(METRICS) if task == "multilabel" else METRIC_NAMES


def check_metrics(names: Sequence[str] | str, task: str) -> tuple[str, ...]:
    """Names of metrics, or a ValueError that says which there are."""
    names, known = (names,) if isinstance(names, str) else tuple(names), metric_names(task)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"metrics has the unknown name {unknown[0]!r}; for task={task!r} choose from {list(known)}.")
    return names


def terms(name: str, batch: CheckedBatch) -> np.ndarray:
    """What a metric's scalar is the mean of, NaN where it is not defined: a value per class, or the scalar alone."""
    if name == "balanced_accuracy" and batch.task == "multiclass":
        name = "sensitivity"
    return _counted(name, METRICS[name](batch), batch)


def _counted(name: str, found: float | np.ndarray, batch: CheckedBatch) -> np.ndarray:
    return np.where(batch.zero_in_map, 0.0, found) if name == "map" else np.atleast_1d(found)


def mean_of(values: np.ndarray) -> float:
    """The mean of those that are defined."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


# Every metric is a function of the checked batch that returns its values per class, of which the mean is the scalar,
# or the scalar alone.


def _where_present(batch: CheckedBatch, values: np.ndarray) -> np.ndarray:
    return np.where(batch.present, values, math.nan)


def _from_confusion(batch: CheckedBatch, name: str) -> np.ndarray:
    """A metric of MONAI that follows from true and false positives and negatives, NaN for absent classes."""
    from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix

    per_image = get_confusion_matrix(torch.from_numpy(batch.decisions), torch.from_numpy(batch.onehot))
    values = np.asarray(compute_confusion_matrix_metric(name, per_image.double().sum(dim=0)).numpy())
    without = name == "specificity" and batch.task == "multilabel"  # which looks at images without the label alone
    return values if without else _where_present(batch, values)


def _accuracy(batch: CheckedBatch) -> float | np.ndarray:
    if batch.task == "multiclass":
        return _exact_match(batch)
    return np.asarray((batch.decisions == batch.onehot).mean(axis=0))


def _exact_match(batch: CheckedBatch) -> float:
    return float((batch.decisions == batch.onehot).all(axis=1).mean())


def _balanced_accuracy(batch: CheckedBatch) -> float | np.ndarray:
    if batch.task == "multiclass":
        return mean_of(terms("sensitivity", batch))
    return _from_confusion(batch, "balanced accuracy")


def _auc(batch: CheckedBatch) -> np.ndarray:
    from monai.metrics import compute_roc_auc

    return _ranked(batch, compute_roc_auc)


def _map(batch: CheckedBatch) -> np.ndarray:
    from monai.metrics import compute_average_precision

    values = _ranked(batch, compute_average_precision)
    values[batch.onehot.all(axis=0)] = 1.0  # no negative can rank above a positive; MONAI says NaN, scikit-learn 1
    return values


def _ranked(batch: CheckedBatch, metric: Callable[..., Any]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing classes are named once, by name, in name_missing
        values = metric(torch.from_numpy(batch.probabilities), torch.from_numpy(batch.onehot), average="none")
    return np.array(values, dtype=np.float64).reshape(-1)


def _kappa(batch: CheckedBatch) -> float | np.ndarray:
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")  # one class only, decided right everywhere: 0 / 0, which is NaN
        if batch.task == "multiclass":
            labels, decisions = batch.onehot.argmax(axis=1), batch.decisions.argmax(axis=1)
            return float(cohen_kappa_score(labels, decisions, labels=range(batch.onehot.shape[1])))
        values = np.full(batch.onehot.shape[1], math.nan)
        for index in np.flatnonzero(batch.present):
            values[index] = cohen_kappa_score(batch.onehot[:, index], batch.decisions[:, index], labels=[0, 1])
    return values


def _ece(batch: CheckedBatch) -> float | np.ndarray:
    if batch.task == "multiclass":
        # the usual definition: is the top class right as often as its probability says?
        right = (batch.decisions == batch.onehot).all(axis=1)[:, None]
        return float(_calibration_error(batch.probabilities.max(axis=1)[:, None], right, batch.num_bins)[0])
    return _calibration_error(batch.probabilities, batch.onehot, batch.num_bins)


def _calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int) -> np.ndarray:
    """Expected calibration error of every column."""
    from monai.metrics import calibration_binning

    # MONAI bins along the last axis, in float32
    predicted, observed, counts = calibration_binning(
        torch.from_numpy(confidence.T[None].copy()), torch.from_numpy(right.T[None].astype(np.float64)), num_bins
    )
    gaps = (predicted - observed).abs().nan_to_num() * counts  # empty bins are NaN and weigh nothing
    return np.asarray((gaps.double().sum(-1) / counts.double().sum(-1))[0].numpy())


def _brier(batch: CheckedBatch) -> float | np.ndarray:
    squared = (batch.probabilities - batch.onehot) ** 2
    if batch.task == "multiclass":
        # scikit-learn's convention: summed over classes, halved for two classes, where it is the binary Brier score
        total = float(squared.sum(axis=1).mean())
        return total / 2 if squared.shape[1] == 2 else total
    return np.asarray(squared.mean(axis=0))


METRICS: dict[str, Callable[[CheckedBatch], float | np.ndarray]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "auc": _auc,
    "map": _map,
    "sensitivity": partial(_from_confusion, name="sensitivity"),
    "specificity": partial(_from_confusion, name="specificity"),
    "f1": partial(_from_confusion, name="f1 score"),
    "kappa": _kappa,
    "ece": _ece,
    "brier": _brier,
    "exact_match": _exact_match,
}
METRIC_NAMES = tuple(METRICS)[:-1]
"""The scalars that :py:func:`classification_metrics` returns for both tasks; multi-label adds ``exact_match``."""
