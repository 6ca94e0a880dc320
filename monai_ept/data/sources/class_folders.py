# SPDX-License-Identifier: Apache-2.0

"""Folders that are taken for classes and look like something else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from monai_ept.data.read_image import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES
from monai_ept.data.sources.csv_file import SPLIT_NAMES

__all__ = ["images_and_masks", "no_classes"]

_IMAGES = ("image", "img", "picture", "photo", "scan")
_MASKS = ("mask", "label", "annotation", "segmentation", "seg", "gt", "groundtruth", "ground_truth", "bbox")
_KINDS = {suffix.strip(".") for suffix in (*IMAGE_SUFFIXES, *DICOM_SUFFIXES, *NIFTI_SUFFIXES)} | {"dicom", "nifti"}
_LEFT_BEHIND = ("__macosx", "thumbnail", "cache", "tmp", "temp", "backup")


def images_and_masks(names: Sequence[str]) -> bool:
    """Whether folders are no classes for sure: one has the pictures of all classes, and another their masks."""
    return {"images", "masks"} == {_kind_of(name) for name in names}


def no_classes(names: Sequence[str], inside: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """
    A sentence for each kind of thing that classes look like by their names.

    Args:
        inside: names of the folders in each of their folders, where they are folders.

    Example::

        >>> no_classes(["train", "test", "benign"])
        ["'train', 'test' look like parts of a split: in a folder of their own they are read as one"]
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_kind_of(name), []).append(name)
    said = {
        "images": "a folder of all images: name their labels in a table (source csv)",
        "masks": "masks or labels, which are no images of a class",
        "split": "parts of a split: in a folder of their own they are read as one",
        "files": "kinds of files, or sizes",
        "left": "what a program left behind: remove it",
    }
    lines = [f"{_named(found[kind])} {text}" for kind, text in said.items() if kind in found]
    deeper = {tuple(sorted(folders)) for folders in (inside or {}).values()}
    if inside and len(inside) > 1 and len(deeper) == 1 and len(*deeper) > 1:
        lines.append(
            f"each class has the same folders in it, {', '.join(map(repr, *deeper))}: they may be the classes, "
            "and those above them patients or sites"
        )
    return lines


def _named(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names))} {'look' if len(names) > 1 else 'looks'} like"


def _kind_of(name: str) -> str:
    """What a folder's name says that is in it; the name itself where it may be a class."""
    singular = name.lower().removesuffix("s")
    if singular in _IMAGES:
        return "images"
    if singular in _MASKS:
        return "masks"
    words = set(re.split(r"[ _.-]", name.lower()))
    if words & {*SPLIT_NAMES} and words <= {*SPLIT_NAMES, *_IMAGES, "images", "imgs", "set", "data", "dataset"}:
        return "split"
    if singular in _KINDS or name.lower() in _KINDS or re.fullmatch(r"\d+x\d+(px)?", name.lower()):
        return "files"
    return "left" if singular in _LEFT_BEHIND else name
