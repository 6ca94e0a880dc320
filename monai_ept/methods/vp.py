# SPDX-License-Identifier: Apache-2.0

"""Visual Prompting: something learned on top of the image, or of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.checks import check_choice, check_whole
from monai_ept.methods.base import Method, register_method
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.embedded_prompt import resize_tokens
from monai_ept.networks.tuner import Tuner

__all__ = ["FramedImage", "PromptedPatches", "Vp"]


@register_method
@dataclass(frozen=True)
class Vp(Method):
    """
    Add trained values to the patch tokens, at the input or in every layer, or to a frame of the image's pixels.

    Args:
        on: ``"input"`` (patch tokens before the first block), ``"layers"`` (patch tokens before each block) or
            ``"frame"`` (pixels along the image's border).
        size: width of the frame in pixels; it means nothing elsewhere.

    Raises:
        ValueError: when a setting is out of range.
    """

    name: ClassVar[str] = "vp"
    reference: ClassVar[str] = "Bahng et al. 2022, arXiv 2203.17274"

    on: str = "input"
    size: int = 30

    def __post_init__(self) -> None:
        check_choice("on", self.on, ("input", "layers", "frame"))
        check_whole("size", self.size)

    def apply(self, vit: ViTFace) -> None:
        if self.on == "frame":
            if 2 * self.size > min(vit.img_size):
                raise ValueError(
                    f"size {self.size} is too wide for a frame of images of {vit.img_size}: "
                    f"choose 1 to {min(vit.img_size) // 2}."
                )
            vit.wrap_stem(lambda stem: FramedImage(stem, vit.in_channels, vit.img_size, self.size))
            return
        for index in range(len(vit.blocks) if self.on == "layers" else 1):
            vit.wrap_block(index, lambda block: PromptedPatches(block, vit.num_patches, vit.embed_dim))


class PromptedPatches(Tuner):
    """
    A block whose patch tokens come with something added, zero at first.

    Args:
        inner: the block.
        num_patches: number of patch tokens, which stand last.
        embed_dim: width of a token.
    """

    def __init__(self, inner: nn.Module, num_patches: int, embed_dim: int) -> None:
        super().__init__(inner)
        self.values = nn.Parameter(torch.zeros(num_patches, embed_dim))

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        before = x.shape[1] - self.values.shape[0]
        return self.inner(x + F.pad(self.values, (0, 0, before, 0)).to(x.dtype), *args, **kwargs)

    def resized(
        self, name: str, values: Tensor, num_prefix_tokens: int, old_grid: Sequence[int], new_grid: Sequence[int]
    ) -> Tensor:
        """Values that were learned on one grid of patches, for another."""
        return resize_tokens(values, 0, old_grid, new_grid)


class FramedImage(Tuner):
    """
    The first module of a backbone, which sees the image with something added along its border, zero at first.

    Args:
        inner: the module.
        in_channels: channels of the image.
        img_size: its size, in 2-D or 3-D.
        size: width of the border.
    """

    def __init__(self, inner: nn.Module, in_channels: int, img_size: Sequence[int], size: int) -> None:
        super().__init__(inner)
        self.img_size = tuple(img_size)
        self.core = tuple(side - 2 * size for side in self.img_size)
        for axis in range(len(self.img_size)):
            # The first axis has its borders from edge to edge; those of later axes fit in between.
            shape = (in_channels, *self.core[:axis], size, *self.img_size[axis + 1 :])
            self.register_parameter(f"low{axis}", nn.Parameter(torch.zeros(shape)))
            self.register_parameter(f"high{axis}", nn.Parameter(torch.zeros(shape)))

    def frame(self) -> Tensor:
        """The border around an image of zeros, ``(channels, *img_size)``."""
        first = self.get_parameter("low0")
        image = first.new_zeros(first.shape[0], *self.core)
        for axis in reversed(range(len(self.img_size))):
            image = torch.cat([getattr(self, f"low{axis}"), image, getattr(self, f"high{axis}")], dim=axis + 1)
        return image

    def tuned(self, x: Tensor) -> Tensor:
        return self.inner(x + self.frame().to(x.dtype))

    def resized(
        self, name: str, values: Tensor, num_prefix_tokens: int, old_grid: Sequence[int], new_grid: Sequence[int]
    ) -> Tensor:
        """A border of an image of one size, for another; it stays as wide as it was."""
        size = getattr(self, name).shape[1:]
        mode = "bilinear" if len(size) == 2 else "trilinear"
        return F.interpolate(values[None], size=size, mode=mode, align_corners=False)[0]
