# SPDX-License-Identifier: Apache-2.0

"""The synthetic data sets as records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
        cache_dir: folder for PNG files, drawn once.
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
    check_sizes(seed, img_size, 16, 4096, num_per_class=(num_per_class, 1), num_test_per_class=(num_test_per_class, 0))
    plans = [
        Plan(
            "derm",
            name,
            {"seed": seed, "lesion": lesion, "view": view, "img_size": img_size},
            label,
            f"derm{seed}_{name}_{lesion:07d}",
            view,
            split,
        )
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

    Args:
        num_images: training pictures, at least 40.
        num_test_images: test pictures, of other patients; may be 0.
        img_size: pixels along an edge.
        seed: another seed, other patients.
        cache_dir: folder for PNG files, drawn once.
        num_workers: processes that draw; 0 draws in this one.
        lazy: draw a picture when it is read, each time, and nothing now.

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
            options = {"seed": seed, "patient": patient, "view": view, "img_size": img_size}
            label = [int(name in findings) for name in CHEST_CLASSES]
            plans.append(Plan("chest", findings, options, label, f"chest{seed}_{patient:07d}", view, split))
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

    Args:
        num_per_class: training volumes of every class.
        num_test_per_class: test volumes of every class, of other glands; may be 0.
        img_size: voxels along an edge.
        num_classes: 2 (normal, mass) or 3 (hyperplasia as well).
        seed: another seed, other glands.
        cache_dir: folder for NIfTI files, drawn once.
        num_workers: processes that draw; 0 draws in this one.
        lazy: draw a picture when it is read, each time, and nothing now.

    Raises:
        ValueError: when a size is out of range.

    Returns:
        records of 16-bit arrays in Hounsfield units with three axes, or of paths.
    """
    check_sizes(seed, img_size, 8, 256, num_per_class=(num_per_class, 1), num_test_per_class=(num_test_per_class, 0))
    if num_classes not in (2, 3):
        raise ValueError(f"num_classes is {num_classes}, but there are 2 (normal, mass) or 3 (hyperplasia as well).")
    names = VOLUME_CLASSES[:num_classes]
    plans = [
        Plan(
            "volume",
            name,
            {"seed": seed, "gland": gland, "scan": scan, "img_size": img_size},
            label,
            f"volume{seed}_{name}_{gland:07d}",
            scan,
            split,
        )
        for split, count, start in _splits(num_per_class, num_test_per_class)
        for label, name in enumerate(names)
        for gland, scan in _groups((3, seed, label), start, count, 2)
    ]
    return RecordSet("synthetic_volume", make_records(plans, cache_dir, num_workers, lazy), names, spatial_dims=3)


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
