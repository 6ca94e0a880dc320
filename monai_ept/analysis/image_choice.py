# SPDX-License-Identifier: Apache-2.0

"""Which images are analysed where there are too many, and which classes have too few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_ept.analysis.distances import single_classes
from monai_ept.checks import check_whole
from monai_ept.data.records import Record

__all__ = ["FEWEST_IMAGES", "choose_images", "left_out"]

FEWEST_IMAGES = 5
"""Images that a class needs to be measured and drawn by itself: of fewer, one image decides what is found."""


def choose_images(records: Sequence[Record], most: int | None, num_classes: int, seed: int = 0) -> list[Record]:
    """
    A random choice by class, in the order of the records.

    Every class keeps five of its images, or all that it has, as far as ``most`` goes; beyond that images are taken in
    proportion. With several labels an image counts for each of them, and once more for the class that it is compared
    as, see ``single_classes``.

    Raises:
        ValueError: when ``most`` is below 2.
    """
    if most is None or len(records) <= check_whole("max_images", most, least=2):
        return list(records)
    labels = np.asarray([record["label"] for record in records], dtype=np.int64)
    classes, names = single_classes(labels, [str(k) for k in range(num_classes)])
    member = classes[:, None] == np.arange(len(names))
    if labels.ndim == 2:
        member = np.hstack([member, labels.astype(bool)])
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(records))
    waiting = member[order]
    counts = member.sum(axis=0)
    taken = np.zeros_like(counts)
    chosen = []
    for _ in range(most):
        # A class below its five comes first, the emptiest of them; then seats are given as Sainte-Laguë gives them.
        need = np.where(taken < FEWEST_IMAGES, 2 * len(records) - taken, counts / (2 * taken + 1))
        need[taken == counts] = -np.inf
        place = int(waiting[:, need.argmax()].argmax())
        chosen.append(int(order[place]))
        taken += waiting[place]
        waiting[place] = False
    return [records[index] for index in sorted(chosen)]


def left_out(counts: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """
    A sentence on classes that have images, but fewer than five; none where there is no such class.

    Example::

        >>> left_out(np.array([50, 3, 0]), ["nevus", "melanoma", "wart"])
        ['Fewer than 5 images, and therefore not measured or drawn by class: melanoma (3).']
    """
    named = zip(class_names, counts, strict=True)
    rare = [f"{name} ({count})" for name, count in named if 0 < count < FEWEST_IMAGES]
    said = f"Fewer than {FEWEST_IMAGES} images, and therefore not measured or drawn by class: {', '.join(rare)}."
    return [said] if rare else []
