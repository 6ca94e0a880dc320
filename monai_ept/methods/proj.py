# SPDX-License-Identifier: Apache-2.0

"""The output projections of the attention alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.tuner import innermost

__all__ = ["Proj"]


@register_method
@dataclass(frozen=True)
class Proj(Method):
    """Train the output projection of every attention: a weight matrix and its bias."""

    name: ClassVar[str] = "proj"
    adapt_lr: ClassVar[float] = 5e-5
    reference: ClassVar[str] = "after Touvron et al. 2022, arXiv 2203.09795 (all of the attention)"

    def apply(self, vit: ViTFace) -> None:
        found = []
        for index in range(len(vit.blocks)):
            where = vit.projections(index).get("proj")
            if where is not None:
                found += innermost(getattr(vit.attention(index), where.name)).named_parameters(recurse=False)
        thaw(found, self.name, "output projection of the attention", vit)
