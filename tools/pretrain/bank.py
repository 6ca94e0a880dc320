# SPDX-License-Identifier: Apache-2.0
"""Parts of scenes, drawn in advance: fields, shapes and hairs, each of which is used a few times and then replaced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from tools.pretrain.fields import FIELDS
from tools.pretrain.pictures import CONTOURS, contour_line, draw_hairs
from tools.pretrain.tissue import tissue

__all__ = ["EDGE", "Bank", "make_bank"]

EDGE = 1.6
"""A shape's map reaches so many radii from its middle."""

FIELD_SIDE, SHAPE_SIDE = 256, 96

TISSUE = 0.3
"""Share of the fields that are built as tissue is, which the pictures of the first part do not know."""

UNTOLD = -100
"""The family of those: PyTorch's cross-entropy leaves it out."""


class Bank(NamedTuple):
    """
    Parts of scenes.

    Args:
        fields: uint8 (number, side, side), grey patterns.
        families: which of ``FIELDS`` each is, or ``UNTOLD``.
        shapes: float32 (number, side, side), how far inside a closed line a place is, in radii.
        contours: which of ``CONTOURS`` each is.
        roughness: of each shape's line, from 0 to about 0.6.
        hairs: uint8 (number, size, size), 255 where a hair is.
    """

    fields: torch.Tensor
    families: torch.Tensor
    shapes: torch.Tensor
    contours: torch.Tensor
    roughness: torch.Tensor
    hairs: torch.Tensor


def make_bank(seed: int, index: int, size: int = 224, fields: int = 512) -> Bank:
    """Draw a bank, with half as many shapes as fields; the same seed and index give the same one."""
    shapes, hairs = max(fields // 2, 1), max(fields // 32, 1)
    rng = np.random.Generator(np.random.PCG64([seed, index, 2]))
    kinds, drawers = rng.integers(len(FIELDS), size=fields), [*FIELDS.values(), tissue]
    kinds[rng.random(fields) < TISSUE] = len(FIELDS)
    patterns = np.stack([(np.clip(drawers[kind](rng, FIELD_SIDE), 0, 1) * 255).astype(np.uint8) for kind in kinds])
    line = ((np.arange(SHAPE_SIDE, dtype=np.float32) + 0.5) / SHAPE_SIDE * 2 - 1) * np.float32(EDGE)
    across, down = np.broadcast_to(line[None, :], (SHAPE_SIDE,) * 2), np.broadcast_to(line[:, None], (SHAPE_SIDE,) * 2)
    contours = rng.integers(len(CONTOURS), size=shapes)
    lines = [contour_line(rng, CONTOURS[kind], 1.0, across, down) for kind in contours]
    masks = np.zeros((hairs, size, size, 1), dtype=np.float32)
    for mask in masks:
        draw_hairs(rng, mask, np.ones(1, dtype=np.float32))
    return Bank(
        torch.from_numpy(patterns),
        torch.from_numpy(np.where(kinds < len(FIELDS), kinds, UNTOLD)),
        torch.from_numpy(np.stack([level for level, _ in lines])),
        torch.from_numpy(contours),
        torch.tensor([rough for _, rough in lines], dtype=torch.float32),
        torch.from_numpy((masks[..., 0] * 255).astype(np.uint8)),
    )
