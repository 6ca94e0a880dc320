# SPDX-License-Identifier: Apache-2.0

"""Which class an image counts as, where it may carry several labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["single_classes"]

NOTHING = "no label"


def single_classes(labels: np.ndarray, class_names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """
    One class per image, for what compares classes with each other.

    Args:
        labels: class indices ``(images,)``, or 0/1 ``(images, classes)``: there an image counts for its label if it
            has only one, as "no label" if it has none, and for no class (-1) if it has several.
        class_names: one name per class.

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
    classes = np.where(number == 1, labels.argmax(axis=1), -1)
    if (number == 0).any():
        classes[number == 0] = len(names)
        names.append(NOTHING)
    return classes, names
