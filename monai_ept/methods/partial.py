# SPDX-License-Identifier: Apache-2.0

"""The last blocks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.checks import check_whole
from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.backbone import ViTFace

__all__ = ["Partial"]


@register_method
@dataclass(frozen=True)
class Partial(Method):
    """
    Train the last blocks, and the norm that follows them.

    The norm belongs to it, as in the baselines of the VPT paper; a pooling by attention does not.

    Args:
        num_blocks: how many blocks, counted from the top.

    Raises:
        ValueError: when there are fewer blocks.
    """

    name: ClassVar[str] = "partial"
    adapt_lr: ClassVar[float] = 5e-5
    adamw_lr: ClassVar[float] = 1e-3
    reference: ClassVar[str] = "Yosinski et al. 2014, arXiv 1411.1792"

    num_blocks: int = 1

    def __post_init__(self) -> None:
        check_whole("num_blocks", self.num_blocks)

    def apply(self, vit: ViTFace) -> None:
        depth = len(vit.blocks)
        if self.num_blocks > depth:
            raise ValueError(f"num_blocks is {self.num_blocks}, but the backbone has {depth}: choose 1 to {depth}.")
        blocks = [f"blocks.{index}." for index in range(depth - self.num_blocks, depth)]
        starts = (*blocks, *(f"{norm}." for norm in vit.final_norms))
        found = [(name, param) for name, param in vit.parameters() if name.startswith(starts)]
        thaw(found, self.name, "parameters in the last blocks", vit)
