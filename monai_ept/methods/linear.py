# SPDX-License-Identifier: Apache-2.0

"""The head alone, on frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method
from monai_ept.networks.backbone import ViTFace

__all__ = ["Linear"]


@register_method
@dataclass(frozen=True)
class Linear(Method):
    """Train a linear head on the features of the untouched backbone."""

    name: ClassVar[str] = "linear"

    def apply(self, vit: ViTFace) -> None:
        """Nothing in the backbone trains."""
