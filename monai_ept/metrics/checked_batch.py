# SPDX-License-Identifier: Apache-2.0

"""What is computed on: probabilities, decisions and labels, refused with a reason before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from monai_ept.metrics.probabilities import probabilities_of

__all__ = ["ArrayLike", "CheckedBatch", "Inputs", "Task", "check_batch", "name_missing", "numbered_classes"]

Task = Literal["multiclass", "multilabel"]
Inputs = Literal["logits", "probabilities"]
ArrayLike = torch.Tensor | np.ndarray | Sequence[Any]


@dataclass(frozen=True)
class CheckedBatch:
    """Checked input: probabilities, decisions and labels, all of shape (images, classes)."""

    probabilities: np.ndarray
    decisions: np.ndarray
    onehot: np.ndarray
    task: str
    class_names: tuple[str, ...]
    num_bins: int
    paper: bool
    zero_in_map: np.ndarray  # classes that count 0 in map: with paper=True, those absent from the whole test set

    def take(self, rows: np.ndarray) -> CheckedBatch:
        """These images, in this order."""
        return replace(
            self, probabilities=self.probabilities[rows], decisions=self.decisions[rows], onehot=self.onehot[rows]
        )

    @property
    def present(self) -> np.ndarray:
        """Which classes some image carries."""
        return np.asarray(self.onehot.any(axis=0))


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


def numbered_classes(number: int) -> tuple[str, ...]:
    """Names of classes that nobody has named."""
    return tuple(f"class_{index}" for index in range(number))


def check_batch(
    y_pred: ArrayLike,
    y: ArrayLike,
    inputs: str,
    task: str,
    class_names: Sequence[str] | None,
    threshold: float,
    num_bins: int,
    paper: bool,
) -> CheckedBatch:
    """Arguments of ``classification_metrics`` as a batch, or a ValueError that says what is wrong with them."""
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
    names = numbered_classes(num_classes) if class_names is None else tuple(class_names)
    if len(names) != num_classes:
        raise ValueError(f"class_names has {len(names)} names, but y_pred has {num_classes} classes.")
    if len(set(names)) != len(names):
        raise ValueError(f"class_names has the same name twice: {list(names)}.")

    if task == "multiclass":
        decisions = np.eye(num_classes, dtype=np.int64)[probabilities.argmax(axis=1)]
    else:
        decisions = (probabilities >= threshold).astype(np.int64)
    zero_in_map = np.asarray(~onehot.any(axis=0) & paper)
    return CheckedBatch(probabilities, decisions, onehot, task, names, int(num_bins), bool(paper), zero_in_map)


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
    if task == "multiclass" and in_range and sums_to_one:
        warnings.warn(
            'y_pred looks like probabilities, yet inputs="logits" applies softmax to it; '
            'say inputs="probabilities" if softmax was applied already.',
            stacklevel=4,
        )
    return probabilities_of(scores, task)


def name_missing(batch: CheckedBatch) -> tuple[list[str], list[str]]:
    """Classes that no image carries, and classes that every image carries; both are warned of."""
    names = np.asarray(batch.class_names, dtype=object)
    absent, always = names[~batch.present].tolist(), names[batch.onehot.all(axis=0)].tolist()
    if absent:
        convention = "counts 0 in map (paper=True) and is NaN elsewhere" if batch.paper else "is NaN"
        still = ", but for what needs no image that carries it," if batch.task == "multilabel" else ""
        warnings.warn(
            f"no image is labelled {', '.join(absent)}: such a class {convention}{still} and is left out of the means.",
            stacklevel=3,
        )
    if always:
        warnings.warn(f"every image is labelled {', '.join(always)}: AUC and specificity are NaN there.", stacklevel=3)
    return absent, always
