# SPDX-License-Identifier: Apache-2.0

"""The part of a network that never changes: computed once per image, and left out from then on.

A *level* says how much of a network lies below: 0 nothing, ``n`` the first ``n`` blocks and all before them, and one
more than there are blocks everything up to the pooled features.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from monai_ept.data.views import mean_over_views
from monai_ept.delta import fingerprint
from monai_ept.model import TunedViT
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.readout import POOLED, read_out
from monai_ept.networks.tuner import innermost, own_parameters, tuners

__all__ = ["UpperPart", "frozen_tuners", "lower_part", "trained_level"]


def frozen_tuners(net: TunedViT) -> str:
    """A name of what methods have put into a network and nothing trains; empty for a plain backbone."""
    own = {id(param) for _, param in own_parameters(net.backbone)}
    added = {
        name: param
        for name, param in net.backbone.named_parameters()
        if id(param) not in own and not param.requires_grad
    }
    if not any(True for _ in tuners(net.backbone)):
        return ""
    added.update(net.backbone.named_buffers())
    settings = json.dumps([method.settings() for method in net.methods], sort_keys=True, default=str)
    return f"{settings} {fingerprint(added) if added else ''}"


def trained_level(net: TunedViT) -> int:
    """The level up to which nothing trains and nothing is random; tuners may be there, as they were initialised."""

    def unmoved(module: nn.Module) -> bool:
        noisy = any(part.training and getattr(part, "p", getattr(part, "drop_prob", 0.0)) for part in module.modules())
        return _still(module) and not noisy

    was = net.training
    net.train()
    try:
        level = _level(net, unmoved)
        if net.readout == POOLED or level > len(net.vit.blocks):
            return level
        # What the head reads of a block must come from the block, and not from what stands for it.
        return min(level, len(net.vit.blocks) - int(net.readout) + 1)
    finally:
        net.train(was)


def lower_part(net: TunedViT, level: int, images: Tensor) -> Tensor:
    """
    What the network hands on at a level: tokens, or pooled features at the highest.

    Args:
        net: the network, in evaluation mode.
        level: from 1 to the number of blocks and one more, where features are the mean over the network's views.
    """
    blocks = net.vit.blocks
    if level > len(blocks):
        # A head of one layer says of the mean of features what its answers are in the mean.
        return mean_over_views(net.features, images, net.views)
    last = blocks[level - 1]
    hook = last.register_forward_hook(_stop)
    try:
        net.features(images)
    except _ReachedError as reached:
        return reached.tokens
    finally:
        hook.remove()
    raise RuntimeError(f"block {level - 1} of the backbone was never called.")


class UpperPart(nn.Module):
    """
    The network above a level: takes what ``lower_part`` gives, and returns logits.

    Args:
        net: the network; its training changes it and nothing is copied.
    """

    def __init__(self, net: TunedViT, level: int) -> None:
        super().__init__()
        self.net = net
        self.level = level

    @property
    def vit(self) -> ViTFace:
        """The backbone of the network."""
        return self.net.vit

    def forward(self, tokens: Tensor) -> Tensor:
        if self.level > len(self.net.vit.blocks):
            return self.net.head(tokens)
        with self._replaced(tokens):
            # One image goes through the stem, to give the backbone's own forward something to begin with.
            first = tokens.new_zeros(1, self.net.vit.in_channels, *self.net.vit.img_size)
            return self.net.head(read_out(self.net.vit, first, self.net.readout))

    @contextmanager
    def _replaced(self, tokens: Tensor) -> Iterator[None]:
        blocks = self.net.vit.blocks
        kept = [blocks[index] for index in range(self.level)]
        try:
            for index in range(self.level):
                blocks[index] = _Given(tokens if index == self.level - 1 else None)
            yield
        finally:
            for index, block in enumerate(kept):
                blocks[index] = block


class _Given(nn.Module):
    """Stands for a block whose result is known, or does not matter."""

    def __init__(self, tokens: Tensor | None) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return x if self.tokens is None else self.tokens


class _ReachedError(Exception):
    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens


def _stop(module: nn.Module, args: Any, output: Tensor) -> None:
    raise _ReachedError(output)


def _still(module: nn.Module) -> bool:
    return not any(param.requires_grad for param in module.parameters())


def _level(net: TunedViT, holds: Any) -> int:
    backbone = innermost(net.backbone)
    own = backbone.parameters(recurse=False)
    if net.backbone is not backbone or any(param.requires_grad for param in own):
        return 0
    blocks, after = net.vit.blocks, net.vit.after_blocks
    for name, child in backbone.named_children():
        if child is not blocks and name not in after and not holds(child):
            return 0
    for index, block in enumerate(blocks):
        if not holds(block):
            return index
    above = [child for name, child in backbone.named_children() if name in after]
    return len(blocks) + all(holds(child) for child in above)
