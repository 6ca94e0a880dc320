# SPDX-License-Identifier: Apache-2.0

"""Images that a bundle adapts to before it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_ept.bundle.images_to_predict import find_images
from monai_ept.data import FewShotSplit, RecordSet
from monai_ept.engines.adaptation import Unlabelled

__all__ = ["REST", "unlabelled_images"]

REST = "rest"
"""Instead of a folder: the training images of the bundle's own data, whether they are among the shots or not."""


def unlabelled_images(
    wanted: str | None, data: RecordSet, split: FewShotSplit, adaptation: Mapping[str, Any] | None = None
) -> Unlabelled | None:
    """
    Images without labels, and what is to be done with them.

    Args:
        wanted: a folder of images, in any folders of its own, or "rest"; None where nothing is to be adapted.
        data: the data of the bundle.
        split: its split, whose test images are left out of "rest" and refused in a folder.
        adaptation: settings, as ``adaptation_of`` takes them.

    Raises:
        FileNotFoundError: when there is no image.
        ValueError: when a test image is among them, or a setting is wrong.
    """
    if wanted is None:
        return None
    return Unlabelled(data if wanted == REST else find_images(wanted, data.spatial_dims), adaptation, split)
