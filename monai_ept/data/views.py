# SPDX-License-Identifier: Apache-2.0

"""A few fixed views of an image: what training sees more of, and what a test takes the mean over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn import functional as F

from monai_ept.checks import check_choice

__all__ = ["VIEW_SETS", "View", "test_views", "train_views"]

VIEW_SETS = ("one", "upright", "turned")
"""The image alone; views that leave up where it is; and quarter turns besides, where up has no meaning."""


@dataclass(frozen=True)
class View(Transform):
    """
    One way to look at images: a crop of a part of them at full size, then a flip, then quarter turns.

    Args:
        side: of the crop, as a share of the image's.
        at: where the crop lies along each axis, from 0 (its beginning) to 1 (its end); one number for all axes.
        flip: mirror it: left to right in an image, the first axis in a volume.
        turns: quarter turns, in the plane of an image or of the first two axes of a volume; of what is not square
            there, one turn mirrors the other axis instead.
    """

    side: float = 1.0
    at: float = 0.5
    flip: bool = False
    turns: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        """The view of a batch ``(batch, channels, *size)``, of the same size."""
        size = [int(length) for length in images.shape[2:]]  # plain numbers, also where torch traces
        if self.side < 1.0:
            lengths = [max(1, round(length * self.side)) for length in size]
            starts = [round((whole - part) * self.at) for whole, part in zip(size, lengths, strict=True)]
            window: list[Any] = [slice(start, start + part) for start, part in zip(starts, lengths, strict=True)]
            smooth = {"mode": "bicubic", "antialias": True} if len(size) == 2 else {"mode": "trilinear"}
            images = F.interpolate(images[(..., *window)], size=size, align_corners=False, **smooth)
        if self.flip:
            images = images.flip(-1 if len(size) == 2 else 2)
        if self.turns % 2 and size[0] != size[1]:  # turned, it would have another size
            return images.flip(2 if len(size) == 2 else 3)
        return torch.rot90(images, self.turns, dims=(2, 3)) if self.turns else images


def train_views(views: str) -> tuple[View, ...]:
    """
    Views of a training image.

    Args:
        views: one of ``VIEW_SETS``.
    """
    check_choice("views", views, VIEW_SETS)
    if views == "one":
        return (View(),)
    whole: Sequence[View] = (View(turns=1), View(turns=2)) if views == "turned" else (View(0.9), View(0.9, flip=True))
    crops = (View(0.8), View(0.75, 0.0, flip=True), View(0.75, 1.0), View(0.65, flip=True))
    return (View(), View(flip=True), *whole, *crops)


def test_views(views: str) -> tuple[View, ...]:
    """
    Views of an image that is tested, whose scores are averaged.

    Args:
        views: one of ``VIEW_SETS``.
    """
    check_choice("views", views, VIEW_SETS)
    if views == "one":
        return (View(),)
    turns = (View(turns=1), View(turns=2)) if views == "turned" else ()
    return (View(), View(flip=True), View(0.85), View(0.85, flip=True), *turns)
