# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
