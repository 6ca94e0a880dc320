# SPDX-License-Identifier: Apache-2.0

"""A few fixed views of an image: what training sees more of, and what a test takes the mean over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn import functional as F

from monai_ept.checks import check_choice

__all__ = ["VIEW_SETS", "View", "mean_over_views", "test_views", "train_views"]

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

    def __call__(self, images: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """
        The view of a batch, of the same size.

        Args:
            size: in plain numbers, which a tensor does not tell where torch traces.
        """
        size = tuple(images.shape[2:]) if size is None else size
        if self.side < 1.0:
            lengths = [max(1, round(length * self.side)) for length in size]
            starts = [round((whole - part) * self.at) for whole, part in zip(size, lengths, strict=True)]
            window: list[Any] = [slice(start, start + part) for start, part in zip(starts, lengths, strict=True)]
            images = _enlarged(images[(..., *window)], lengths, size)
        if self.flip:
            images = images.flip(-1 if len(size) == 2 else 2)
        if self.turns % 2 and size[0] != size[1]:  # turned, it would have another size
            return images.flip(2 if len(size) == 2 else 3)
        if self.turns % 4 > 1:  # as torch.rot90 does it, which the older ONNX exporter does not know
            images = images.flip(2, 3)
        return images.flip(3).transpose(2, 3) if self.turns % 2 else images


def _enlarged(images: Tensor, lengths: Sequence[int], size: Sequence[int]) -> Tensor:
    if torch.onnx.is_in_onnx_export():  # the older exporter does not know this bicubic interpolation
        for axis, (part, whole) in enumerate(zip(lengths, size, strict=True), start=2):
            weights = torch.from_numpy(_resampling(part, whole, cubic=len(size) == 2)).to(images)
            images = (images.transpose(axis, -1) @ weights).transpose(axis, -1)
        return images
    smooth: Any = {"mode": "bicubic", "antialias": True} if len(size) == 2 else {"mode": "trilinear"}
    return F.interpolate(images, size=size, align_corners=False, **smooth)


def _resampling(part: int, whole: int, *, cubic: bool) -> np.ndarray:
    """Weights ``(part, whole)`` with which torch enlarges an axis: bicubic with antialiasing, or linear."""
    places = (np.arange(whole) + 0.5) * part / whole - 0.5
    away = np.abs(places - np.arange(part)[:, None])
    weights = np.clip(1 - away, 0, None)
    if cubic:
        near, far = 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        weights = np.where(away < 1, near, np.where(away < 2, far, 0.0))
    return weights / weights.sum(axis=0)


def train_views(views: str) -> tuple[View, ...]:
    """Views of a training image."""
    check_choice("views", views, VIEW_SETS)
    if views == "one":
        return (View(),)
    whole: Sequence[View] = (View(turns=1), View(turns=2)) if views == "turned" else (View(0.9), View(0.9, flip=True))
    crops = (View(0.8), View(0.75, 0.0, flip=True), View(0.75, 1.0), View(0.65, flip=True))
    return (View(), View(flip=True), *whole, *crops)


def test_views(views: str) -> tuple[View, ...]:
    """Views of an image that is tested, whose scores are averaged."""
    check_choice("views", views, VIEW_SETS)
    if views == "one":
        return (View(),)
    turns = (View(turns=1), View(turns=2)) if views == "turned" else ()
    return (View(), View(flip=True), View(0.85), View(0.85, flip=True), *turns)


def mean_over_views(
    answer: Callable[[Tensor], Tensor], images: Tensor, views: str, size: Sequence[int] | None = None
) -> Tensor:
    """
    The mean of what is said of each view of images that are tested.

    Args:
        answer: says it.
        images: a batch.
        views: which, see ``test_views``.
        size: as a ``View`` takes it.
    """
    if views == "one":
        return answer(images)
    return torch.stack([answer(view(images, size)) for view in test_views(views)]).mean(dim=0)
