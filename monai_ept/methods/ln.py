# SPDX-License-Identifier: Apache-2.0

"""The layer norms alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.backbone import ViTFace

__all__ = ["Ln"]


@register_method
@dataclass(frozen=True)
class Ln(Method):
    """Train scale and shift of every layer norm and RMS norm: around blocks, in them, and around q and k."""

    name: ClassVar[str] = "ln"
    reference: ClassVar[str] = "Basu et al. 2023, arXiv 2304.01917"

    def apply(self, vit: ViTFace) -> None:
        thaw(vit.norm_parameters(), self.name, "norms with a scale or shift", vit)
