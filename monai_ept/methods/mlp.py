# SPDX-License-Identifier: Apache-2.0

"""A deeper head, on frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from monai_ept.checks import check_whole
from monai_ept.methods.base import Method, register_method
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.heads import mlp_head

__all__ = ["Mlp"]


@register_method
@dataclass(frozen=True)
class Mlp(Method):
    """
    Train a head of several linear layers on the features of the untouched backbone.

    Args:
        num_layers: number of linear layers, the last one, which gives the logits, included.
        hidden_size: width between them, that of the features by default.

    Raises:
        ValueError: when a setting is out of range.
    """

    name: ClassVar[str] = "mlp"
    adamw_lr: ClassVar[float] = 1e-3
    linear_head: ClassVar[bool] = False
    reference: ClassVar[str] = "Jia et al. 2022, arXiv 2203.12119 (Mlp-3)"

    num_layers: int = 3
    hidden_size: int | None = None

    def __post_init__(self) -> None:
        check_whole("num_layers", self.num_layers, least=2, most=100)
        if self.hidden_size is not None:
            check_whole("hidden_size", self.hidden_size, most=2**16)

    def apply(self, vit: ViTFace) -> None:
        """Nothing in the backbone trains."""

    def make_head(self, in_features: int, num_classes: int, dropout: float) -> nn.Module:
        return mlp_head(in_features, num_classes, dropout, num_layers=self.num_layers, hidden_size=self.hidden_size)
