# SPDX-License-Identifier: Apache-2.0

"""What a head reads: the backbone's own pooled features, or class token and mean of patches of its last blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_ept.checks import shown
from monai_ept.networks.backbone import ViTFace

__all__ = ["POOLED", "check_readout", "check_readout_setting", "read_out", "read_tokens", "readout_width"]

POOLED = "pooled"
"""The backbone's own pooled features."""


def check_readout_setting(readout: Any) -> None:
    """
    Refuse what no backbone could be read by; None is no wish.

    Raises:
        ValueError: when it is neither "pooled" nor a number of blocks.
    """
    if readout is None or readout == POOLED:
        return
    if isinstance(readout, bool) or not isinstance(readout, int) or readout < 1:
        raise ValueError(f"readout must be {POOLED!r} or how many of the last blocks are read, got {shown(readout)}.")


def check_readout(vit: ViTFace, readout: Any) -> str | int:
    """
    ``readout`` if this backbone can be read so.

    Args:
        readout: "pooled", or how many of the last blocks are read; None is "pooled".

    Raises:
        ValueError: when it is neither, or the backbone has fewer blocks.
        TypeError: when the backbone hands out no tokens of its blocks.
    """
    check_readout_setting(readout)
    if readout is None or readout == POOLED:
        return POOLED
    if readout > len(vit.blocks):
        raise ValueError(f"readout is {readout} and the backbone has {len(vit.blocks)} blocks: read as many at most.")
    vit.check_block_tokens()
    return readout


def readout_width(vit: ViTFace, readout: str | int) -> int:
    """How many numbers the head reads of an image."""
    if readout == POOLED:
        return vit.embed_dim
    return int(readout) * vit.embed_dim * (2 if vit.has_class_token else 1)


def read_out(vit: ViTFace, x: Tensor, readout: str | int) -> Tensor:
    """Features ``(batch, readout_width)`` of images."""
    if readout == POOLED:
        return vit.features(x)
    return read_tokens(vit, vit.block_tokens(x, int(readout)))


def read_tokens(vit: ViTFace, tokens: Sequence[Tensor]) -> Tensor:
    """
    Features of images from the tokens of the last blocks.

    Those of the last block pass the backbone's final norm. Those of the blocks before it, which no norm was trained
    for, are only brought to mean 0 and deviation 1, token by token.

    Args:
        tokens: what each of the blocks has returned, the last one last.
    """
    normed = [F.layer_norm(one, (vit.embed_dim,), eps=1e-6) for one in tokens[:-1]] + [vit.final_norm(tokens[-1])]
    parts = []
    for one in normed:
        if vit.has_class_token:
            parts.append(one[:, 0])
        parts.append(one[:, -vit.num_patches :].mean(dim=1))  # the last, whatever tuners have put before them
    return torch.cat(parts, dim=1)
