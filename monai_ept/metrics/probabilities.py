# SPDX-License-Identifier: Apache-2.0

"""Probabilities from logits."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

__all__ = ["probabilities_of"]

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def probabilities_of(logits: Array, task: str) -> Array:
    """
    Softmax over the last axis for one label per image, sigmoid for several.

    Args:
        logits: of shape (images, classes), an array or a tensor; so is what is returned.
        task: "multiclass" or "multilabel".

    Example::

        >>> probabilities_of(np.array([[0.0, 0.0]]), "multiclass")
        array([[0.5, 0.5]])
    """
    if isinstance(logits, np.ndarray):
        return probabilities_of(torch.from_numpy(logits), task).numpy()
    return logits.softmax(-1) if task == "multiclass" else logits.sigmoid()
