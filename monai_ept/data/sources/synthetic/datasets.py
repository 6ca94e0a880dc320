# SPDX-License-Identifier: Apache-2.0

"""The synthetic data sets as records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ept.data.records import RecordSet
from monai_ept.data.sources.synthetic.picture_store import Plan, check_sizes, make_records
from monai_ept.synthetic.chest import CHEST_CLASSES, chest_findings
from monai_ept.synthetic.derm import DERM_CLASSES
from monai_ept.synthetic.paint import Dice
from monai_ept.synthetic.volume import VOLUME_CLASSES

__all__ = ["synthetic_chest", "synthetic_derm", "synthetic_volume"]

_GROUP_SIZE = 41  # stream of random numbers
_TEST_START = 1_000_000  # groups of the test set are numbered from here, so that sizes of both sets are independent


def synthetic_derm(
    num_per_class: int = 40,
    num_test_per_class: int = 20,
    *,
    img_size: int = 224,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    num_workers: int = 0,
    lazy: bool = False,
) -> RecordSet:
    """Dermoscopy-like pictures of seven classes; one to three of them show the same lesion.

    A picture depends on seed, class, lesion and view alone: a larger set contains the smaller one. Arrays take 147 kB
    each at 224 pixels; with ``cache_dir`` the records hold paths of PNG files.

    Args:
        num_per_class: training pictures of every class.
        num_test_per_class: test pictures of every class, of other lesions; may be 0.
        img_size: pixels along an edge.
        seed: another seed, other lesions.
        cache_dir: folder for PNG files (NIfTI for volumes), drawn once.
        num_workers: processes that draw; 0 draws in this one.
        lazy: draw a picture when it is read, each time, and nothing now.

    Raises:
        ValueError: when a size is out of range.

    Returns:
        records of arrays (rows, columns, 3), or of paths.

    Example::

        data = synthetic_derm(10, 10, img_size=64)
        data.class_names  # ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    """
    sizes = {"num_per_class": (num_per_class, 1), "num_test_per_class": (num_test_per_class, 0)}
    check_sizes(seed, img_size, 16, 4096, **sizes)
    plans = [
        _plan("derm", name, label, split, seed, img_size, lesion=lesion, view=view)
        for split, count, start in _splits(num_per_class, num_test_per_class)
        for label, name in enumerate(DERM_CLASSES)
        for lesion, view in _groups((1, seed, label), start, count, 3)
    ]
    return RecordSet("synthetic_derm", make_records(plans, cache_dir, num_workers, lazy), DERM_CLASSES)


def synthetic_chest(
    num_images: int = 200,
    num_test_images: int = 100,
    *,
    img_size: int = 224,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    num_workers: int = 0,
    lazy: bool = False,
) -> RecordSet:
    """Chest-radiograph-like pictures with nineteen findings, several at once; one or two of them show one patient.

    Findings take turns in leading, so that every one of them is there in any forty pictures; others come with them.
    The arguments that are not named here are those of :py:func:`synthetic_derm`.

    Args:
        num_images: training pictures, at least 40.
        num_test_images: test pictures, of other patients; may be 0.

    Raises:
        ValueError: when a size is out of range.

    Returns:
        multi-label records of grey arrays (rows, columns), or of paths.
    """
    check_sizes(seed, img_size, 16, 4096, num_images=(num_images, 40), num_test_images=(num_test_images, 0))
    plans = []
    for split, count, start in _splits(num_images, num_test_images):
        for patient, view in _groups((2, seed, 0), start, count, 2):
            findings = chest_findings(seed, patient)
            label = [int(name in findings) for name in CHEST_CLASSES]
            plans.append(_plan("chest", findings, label, split, seed, img_size, patient=patient, view=view))
    return RecordSet("synthetic_chest", make_records(plans, cache_dir, num_workers, lazy), CHEST_CLASSES, "multilabel")


def synthetic_volume(
    num_per_class: int = 20,
    num_test_per_class: int = 10,
    *,
    img_size: int = 32,
    num_classes: int = 2,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    num_workers: int = 0,
    lazy: bool = False,
) -> RecordSet:
    """Small CT-like volumes of adrenal glands: normal or with a mass; one or two of them show the same gland.

    The arguments that are not named here are those of :py:func:`synthetic_derm`.

    Args:
        img_size: voxels along an edge.
        num_classes: 2 (normal, mass) or 3 (hyperplasia as well).

    Raises:
        ValueError: when a size is out of range.

    Returns:
        records of 16-bit arrays in Hounsfield units with three axes, or of paths.
    """
    sizes = {"num_per_class": (num_per_class, 1), "num_test_per_class": (num_test_per_class, 0)}
    check_sizes(seed, img_size, 8, 256, **sizes)
    if num_classes not in (2, 3):
        raise ValueError(f"num_classes is {num_classes}, but there are 2 (normal, mass) or 3 (hyperplasia as well).")
    names = VOLUME_CLASSES[:num_classes]
    plans = [
        _plan("volume", name, label, split, seed, img_size, gland=gland, scan=scan)
        for split, count, start in _splits(num_per_class, num_test_per_class)
        for label, name in enumerate(names)
        for gland, scan in _groups((3, seed, label), start, count, 2)
    ]
    return RecordSet("synthetic_volume", make_records(plans, cache_dir, num_workers, lazy), names, spatial_dims=3)


def _plan(kind: str, what: Any, label: Any, split: str, seed: int, img_size: int, **place: int) -> Plan:
    """The plan of a picture; ``place`` has the numbers of its group and view, as the renderer calls them."""
    group, view = place.values()
    name = f"{kind}{seed}_{what}_{group:07d}" if isinstance(what, str) else f"{kind}{seed}_{group:07d}"
    return Plan(kind, what, {"seed": seed, **place, "img_size": img_size}, label, name, view, split)


def _splits(train: int, test: int) -> Sequence[tuple[str, int, int]]:
    return (("train", train, 0), ("test", test, _TEST_START))


def _groups(key: tuple[int, ...], start: int, count: int, largest: int) -> list[tuple[int, int]]:
    """Group and view of every picture: groups of one to ``largest``, the last one cut to fit."""
    pictures: list[tuple[int, int]] = []
    group = start
    while len(pictures) < count:
        size = Dice(_GROUP_SIZE, *key, group).whole(1, largest)
        pictures += [(group, view) for view in range(size)]
        group += 1
    return pictures[:count]
