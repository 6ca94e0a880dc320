# SPDX-License-Identifier: Apache-2.0

"""The bias terms alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.backbone import ViTFace

__all__ = ["Bias"]


@register_method
@dataclass(frozen=True)
class Bias(Method):
    """Train every bias of the backbone, those of its norms and its patch embedding included."""

    name: ClassVar[str] = "bias"
    reference: ClassVar[str] = "Ben Zaken et al. 2021, arXiv 2106.10199 (BitFit)"

    def apply(self, vit: ViTFace) -> None:
        # `bias` of layers, and `q_bias` and the like of modules that keep theirs apart.
        found = [(name, param) for name, param in vit.parameters() if name.endswith("bias")]
        thaw(found, self.name, "bias terms", vit)
