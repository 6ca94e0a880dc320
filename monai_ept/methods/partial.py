# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The last blocks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.checks import check_whole
from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.vit import ViTFace

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
