# SPDX-License-Identifier: Apache-2.0

"""Random views of a whole batch at once, on the device where it is: what training sees anew in each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn import functional as F

from monai_ept.checks import check_choice, check_number
from monai_ept.data.meta_data import plain_image
from monai_ept.data.views import VIEW_SETS

__all__ = ["RandomViews"]

SWAY = 0.2
"""Radians by which an image leans at most where up has a meaning: nobody holds a camera quite straight."""


@dataclass(frozen=True)
class RandomViews(Transform):
    """
    Random crops, turns, mirrors and light, each image of a batch in its own way.

    Everything is one sampling of the batch, in two or three dimensions and on any device. Numbers are drawn on the
    CPU from torch's own generator, so that a seed gives the same views everywhere.

    Args:
        views: which kind: "turned" turns by any angle, "upright" leans a little, both also mirror left to right, and
            "one" leaves orientation alone. Volumes turn in the plane of their first two axes.
        least: side of the smallest crop, as a share of the image's.
        gain: by how much light is multiplied at most, up or down.
        shift: by how much light is moved at most, up or down, as a share of the deviation of the batch.
        colour: every channel in its own light; otherwise all channels alike.
        blur: share of the images that are blurred.

    Raises:
        ValueError: when an argument is out of range.

    Example::

        >>> RandomViews("turned")(torch.rand(8, 3, 224, 224)).shape
        torch.Size([8, 3, 224, 224])
    """

    views: str = "upright"
    least: float = 0.6
    gain: float = 0.15
    shift: float = 0.2
    colour: bool = False
    blur: float = 0.0

    def __post_init__(self) -> None:
        check_choice("views", self.views, VIEW_SETS)
        check_number("least", self.least, above=0, most=1)
        check_number("gain", self.gain, least=0, below=1)
        check_number("shift", self.shift, least=0)
        check_number("blur", self.blur, least=0, most=1)

    def __call__(self, images: Tensor) -> Tensor:
        """Views of a batch ``(batch, channels, *size)`` of floating point numbers, of the same size."""
        images = self._lit(self._seen(plain_image(images)))
        return self._blurred(images) if self.blur else images

    def _seen(self, images: Tensor) -> Tensor:
        """Crop, turn and mirror. Positions run from -1 to 1 along each axis, the last axis of the size first."""
        count, size = len(images), images.shape[2:]
        axes = len(size)
        side = torch.empty(count, 1).uniform_(self.least, 1.0)
        centre = torch.empty(count, axes).uniform_(-1.0, 1.0) * (1.0 - side)
        scale = side.repeat(1, axes)
        angle = torch.zeros(count)
        if self.views != "one":
            angle.uniform_(-math.pi, math.pi) if self.views == "turned" else angle.uniform_(-SWAY, SWAY)
            mirrored = axes - 1 if axes == 3 else 0  # the first axis of a volume, the last of an image
            scale[:, mirrored] *= torch.randint(0, 2, (count,)).mul(2).sub(1)
        first, second = axes - 1, axes - 2  # positions of the first two axes of the size
        turn = torch.eye(axes).repeat(count, 1, 1)
        ratio = size[0] / size[1]  # what is not square turns as if it were
        turn[:, first, first] = turn[:, second, second] = angle.cos()
        turn[:, first, second] = -angle.sin() / ratio
        turn[:, second, first] = angle.sin() * ratio
        theta = torch.cat([turn * scale[:, None, :], centre[:, :, None]], dim=2)
        grid = F.affine_grid(theta.to(images.device, non_blocking=True), [count, 1, *size], align_corners=False)
        return F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)

    def _lit(self, images: Tensor) -> Tensor:
        shape = (len(images), images.shape[1] if self.colour else 1, *[1] * (images.ndim - 2))
        gain = torch.empty(shape).uniform_(1.0 - self.gain, 1.0 + self.gain).to(images, non_blocking=True)
        shift = torch.empty(shape).uniform_(-self.shift, self.shift).to(images, non_blocking=True)
        return images * gain + shift * images.std()

    def _blurred(self, images: Tensor) -> Tensor:
        chosen = (torch.rand(len(images)) < self.blur).to(images.device, non_blocking=True)
        pool = F.avg_pool2d if images.ndim == 4 else F.avg_pool3d
        soft = pool(images, 3, stride=1, padding=1, count_include_pad=False)
        return torch.where(chosen.view(-1, *[1] * (images.ndim - 1)), soft, images)
