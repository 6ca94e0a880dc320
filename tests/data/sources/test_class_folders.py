# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.data.sources.class_folders import images_and_masks, no_classes


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["train", "test", "benign"], "'train', 'test' look like parts of a split"),
        (["train_images", "polyp"], "'train_images' looks like parts of a split"),
        (["Images", "polyp"], "'Images' looks like a folder of all images"),
        (["GT", "polyp"], "'GT' looks like masks"),
        (["jpg", "dicom"], "'jpg', 'dicom' look like kinds of files"),
        (["__MACOSX", "polyp"], "'__MACOSX' looks like what a program left behind"),
    ],
)
def test_names_of_something_else(names: list[str], says: str) -> None:
    assert len(no_classes(names)) == 1 and no_classes(names)[0].startswith(says)


def test_names_of_classes() -> None:
    assert no_classes(["benign", "test positive", "valve", "mel", "0", "1", "non_tumor"]) == []


def test_folders_that_are_the_same_in_each_class() -> None:
    inside = {"site1": ["benign", "malignant"], "site2": ["malignant", "benign"]}
    (said,) = no_classes(["site1", "site2"], inside)
    assert said.startswith("each class has the same folders in it, 'benign', 'malignant'")
    assert no_classes(["a", "b"], {"a": ["p1", "p2"], "b": ["p3", "p4"]}) == []
    assert no_classes(["a", "b"], {"a": [], "b": []}) == []


def test_images_beside_their_masks() -> None:
    assert images_and_masks(["imgs", "Masks"]) and not images_and_masks(["images", "masks", "polyp"])
