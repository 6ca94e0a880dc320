# SPDX-License-Identifier: Apache-2.0

"""Embedded Prompt Tuning without the tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from monai_ept.checks import check_number
from monai_ept.methods.base import Method, layer_indices, register_method
from monai_ept.networks.attention_classes import attention_halves
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.embedded_prompt import EmbeddedPrompt
from monai_ept.networks.prompted_attention_module import PromptedAttention

__all__ = ["Damp"]


@register_method
@dataclass(frozen=True)
class Damp(Method):
    """
    Damp the attention by one fixed number, the same for all tokens; only the head trains.

    It is ``Ept`` held at its start: prompts of length n start near ``c = ln(n)``, 4.6 for n = 100.

    Args:
        c: what joins every row of scores before the softmax and is dropped after it; the lower, the weaker.
        layers: ``"deep"`` (all), ``"shallow"`` (the first), or a list of indices; negative ones count from the top.

    Raises:
        ValueError: when a setting is out of range.
    """

    name: ClassVar[str] = "damp"
    reference: ClassVar[str] = "the start value of Zu et al. 2024, arXiv 2407.01003"

    c: float = 4.6
    layers: str | Sequence[int] = "deep"

    def __post_init__(self) -> None:
        check_number("c", self.c)

    def apply(self, vit: ViTFace) -> None:
        chosen = layer_indices(self.layers, len(vit.blocks), "layers")
        for index in chosen:
            attention_halves(vit.attention(index))
        for index in chosen:
            prompt = EmbeddedPrompt(vit.num_tokens, 1, init="zero", start=self.c).requires_grad_(False)
            vit.wrap_attention(index, partial(PromptedAttention, prompt=prompt))
