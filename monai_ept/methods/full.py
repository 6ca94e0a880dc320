# SPDX-License-Identifier: Apache-2.0

"""Everything trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.backbone import ViTFace

__all__ = ["Full"]


@register_method
@dataclass(frozen=True)
class Full(Method):
    """Train the whole backbone."""

    name: ClassVar[str] = "full"
    adapt_lr: ClassVar[float] = 5e-5
    adamw_lr: ClassVar[float] = 1e-4
    solved_lr: ClassVar[float] = 1e-4

    def apply(self, vit: ViTFace) -> None:
        thaw(vit.parameters(), self.name, "parameters", vit)
