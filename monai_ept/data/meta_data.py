# SPDX-License-Identifier: Apache-2.0

"""MONAI's meta data of images, which files bring along and networks have no use for."""

from __future__ import annotations

from monai.data import MetaTensor
from torch import Tensor

__all__ = ["plain_image"]


def plain_image(image: Tensor) -> Tensor:
    """An image, or a batch of them, without MONAI's meta data, which cost a lot of Python per operation."""
    return image.as_tensor() if isinstance(image, MetaTensor) else image
