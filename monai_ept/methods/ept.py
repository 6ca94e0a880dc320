# SPDX-License-Identifier: Apache-2.0

"""Embedded Prompt Tuning, the method of the paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from monai_ept.checks import check_choice, check_number, check_whole
from monai_ept.methods.base import Method, register_method
from monai_ept.networks.attention import EMBEDDINGS
from monai_ept.networks.attention_classes import attention_halves
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.embedded_prompt import PROMPT_INITS, EmbeddedPrompt
from monai_ept.networks.prompted_attention_module import PromptedAttention
from monai_ept.networks.tuner import innermost

__all__ = ["Ept", "layer_indices"]


@register_method
@dataclass(frozen=True)
class Ept(Method):
    """
    Learnable logits join the attention scores before the softmax and are dropped after it.

    Args:
        prompt_length: number of prompts per token and layer.
        prompt_layers: ``"deep"`` (all), ``"shallow"`` (the first), or a list of indices; negative ones count from
            the top.
        prompt_init: ``"normal"``, ``"uniform"``, ``"zero"``, ``"kaiming"``, or ``"identity"``, which starts as the
            unchanged backbone.
        embed: ``"concat"`` (exact and as fast as plain attention), ``"scaled_concat"``, ``"add"`` or ``"multiply"``.
        start: start value of every row's logsumexp, near ``ln(prompt_length)`` by default (``"concat"`` only).
        prompt_lr_scale: factor of the learning rate for the prompts.
        per: ``"token"`` as in the paper, each token with prompts that all heads share; or ``"head"``, each head with
            prompts that all tokens share, which are fewer and fit any image size.

    Raises:
        ValueError: when a setting is out of range.
    """

    name: ClassVar[str] = "ept"
    reference: ClassVar[str] = "Zu et al. 2024, arXiv 2407.01003"

    prompt_length: int = 100
    prompt_layers: str | Sequence[int] = "deep"
    prompt_init: str = "normal"
    embed: str = "concat"
    start: float | None = None
    prompt_lr_scale: float = 1.0
    per: str = "token"

    def __post_init__(self) -> None:
        check_whole("prompt_length", self.prompt_length)
        check_choice("embed", self.embed, EMBEDDINGS)
        check_choice("prompt_init", self.prompt_init, PROMPT_INITS)
        check_choice("per", self.per, ("token", "head"))
        if self.per == "head" and self.embed in ("add", "multiply"):
            raise ValueError(f"embed={self.embed!r} has a logit for each pair of tokens: with per='head' use 'concat'.")
        check_number("prompt_lr_scale", self.prompt_lr_scale, above=0)
        if self.start is not None:
            check_number("start", self.start)
            if self.embed != "concat":
                raise ValueError(
                    f"start is the logsumexp of concat prompts, got embed={self.embed!r}: leave start out."
                )

    @property
    def lr_scale(self) -> float:
        return self.prompt_lr_scale

    def apply(self, vit: ViTFace) -> None:
        chosen = layer_indices(self.prompt_layers, len(vit.blocks))
        for index in chosen:
            # Before the first is wrapped, so that a backbone we cannot adapt is left as it was.
            attention_halves(vit.attention(index))
        for index in chosen:
            prompt = EmbeddedPrompt(
                vit.num_tokens,
                self.prompt_length,
                embed=self.embed,
                init=self.prompt_init,
                start=self.start,
                num_heads=innermost(vit.attention(index)).num_heads if self.per == "head" else None,
            )
            vit.wrap_attention(index, partial(PromptedAttention, prompt=prompt))

    def folded(self) -> Ept:
        return dataclasses.replace(self, prompt_length=1, prompt_init="zero", start=None)


def layer_indices(layers: str | Sequence[int], num_layers: int, name: str = "prompt_layers") -> list[int]:
    """
    Indices of the chosen layers, from the bottom up.

    Args:
        layers: ``"deep"``, ``"shallow"``, or indices in any order; negative ones count from the top.
        num_layers: how many layers there are.
        name: of the setting, for errors.

    Raises:
        ValueError: when an index is out of range or named twice, or there is none.
    """
    if isinstance(layers, str):
        if layers not in ("deep", "shallow"):
            raise ValueError(f"{name} must be 'deep', 'shallow' or a list of layer indices, got {layers!r}.")
        return list(range(num_layers)) if layers == "deep" else [0]
    chosen: list[int] = []
    for layer in layers:
        if isinstance(layer, bool) or not isinstance(layer, int):
            raise ValueError(f"{name} must hold whole numbers, got {layer!r}.")
        if not -num_layers <= layer < num_layers:
            raise ValueError(
                f"{name} has {layer}, but the backbone's {num_layers} layers are 0 to {num_layers - 1} "
                f"(or -{num_layers} to -1 from the top)."
            )
        index = layer % num_layers
        if index in chosen:
            raise ValueError(f"{name} names layer {index} twice: name each layer once.")
        chosen.append(index)
    if not chosen:
        raise ValueError(f"{name} is empty: name at least one layer, or use method 'linear' for the head alone.")
    return sorted(chosen)
