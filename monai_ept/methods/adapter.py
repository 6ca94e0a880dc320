# SPDX-License-Identifier: Apache-2.0

"""A bottleneck beside each MLP."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.checks import check_number, check_whole
from monai_ept.methods.base import Method, register_method
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.tuner import Tuner

__all__ = ["Adapter", "ParallelAdapter"]


@register_method
@dataclass(frozen=True)
class Adapter(Method):
    """
    Add a trained bottleneck beside the MLP of every block, on the same input (AdaptFormer).

    Args:
        reduction: the bottleneck is ``embed_dim // reduction`` wide.
        scale: factor of the bottleneck's output.

    Raises:
        ValueError: when a setting is out of range.
        TypeError: when a block has no MLP of its own.
    """

    name: ClassVar[str] = "adapter"
    reference: ClassVar[str] = "Chen et al. 2022, arXiv 2205.13535 (AdaptFormer)"

    reduction: int = 8
    scale: float = 0.1

    def __post_init__(self) -> None:
        check_whole("reduction", self.reduction)
        check_number("scale", self.scale, above=0)

    def apply(self, vit: ViTFace) -> None:
        width = vit.embed_dim // self.reduction
        if width < 1:
            raise ValueError(
                f"reduction {self.reduction} leaves nothing of tokens {vit.embed_dim} wide: "
                f"choose 1 to {vit.embed_dim}."
            )
        for index in range(len(vit.blocks)):
            vit.wrap_mlp(index, lambda mlp: ParallelAdapter(mlp, vit.embed_dim, width, self.scale))


class ParallelAdapter(Tuner):
    """
    An MLP with a bottleneck beside it that starts at zero.

    Args:
        inner: the MLP.
        dim: width of its input and output.
        width: width of the bottleneck.
        scale: factor of the bottleneck's output.
    """

    def __init__(self, inner: nn.Module, dim: int, width: int, scale: float) -> None:
        super().__init__(inner)
        self.scale = scale
        self.down = nn.Linear(dim, width)
        self.up = nn.Linear(width, dim)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for start_at_zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start_at_zero)

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        low = F.relu(F.linear(x, self.down.weight.to(x.dtype), self.down.bias.to(x.dtype)))
        up = F.linear(low, self.up.weight.to(low.dtype), self.up.bias.to(low.dtype))
        return self.inner(x, *args, **kwargs) + self.scale * up
