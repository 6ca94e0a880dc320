# SPDX-License-Identifier: Apache-2.0

"""Embedded Prompt Tuning, the method of the paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from monai_ept.checks import check_choice, check_number, check_whole
from monai_ept.methods.base import MOST_ADDED, Method, layer_indices, register_method
from monai_ept.networks.attention import EMBEDDINGS
from monai_ept.networks.attention_classes import attention_halves
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.embedded_prompt import PROMPT_INITS, EmbeddedPrompt
from monai_ept.networks.prompted_attention_module import PromptedAttention
from monai_ept.networks.tuner import innermost

__all__ = ["Ept"]

# How prompts start and learn by default: the paper's start, near ln(prompt_length), lost up to .08 on one data set and
# gained up to .06 on another, see docs/results.md; and at the head's learning rate prompts hardly move from there.
_START, _LR_SCALE = 0.0, 30.0
_PAPER_START = 4.6  # the logsumexp of its 100 prompts


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
        check_whole("prompt_length", self.prompt_length, most=MOST_ADDED)
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
            if (prompt := self.make_prompt(vit, index)) is not None:
                vit.wrap_attention(index, partial(PromptedAttention, prompt=prompt))

    def make_prompt(self, vit: ViTFace, layer: int) -> EmbeddedPrompt | None:
        if layer not in layer_indices(self.prompt_layers, len(vit.blocks)):
            return None
        return EmbeddedPrompt(
            vit.num_tokens,
            self.prompt_length,
            embed=self.embed,
            init=self.prompt_init,
            start=self.start,
            num_heads=innermost(vit.attention(layer)).num_heads if self.per == "head" else None,
        )

    def begun(self) -> Ept:
        if self.start is not None or self.prompt_init != "normal" or self.embed != "concat":
            return self  # who sets one of these has chosen where prompts start
        scale = _LR_SCALE if self.prompt_lr_scale == 1.0 else self.prompt_lr_scale
        return dataclasses.replace(self, start=_START, prompt_lr_scale=scale)

    def _prompts(self, vit: ViTFace) -> list[EmbeddedPrompt]:
        layers = layer_indices(self.prompt_layers, len(vit.blocks))
        return [
            module for index in layers for module in vit.block(index).modules() if isinstance(module, EmbeddedPrompt)
        ]

    def begin(self, vit: ViTFace) -> Ept:
        begun = self.begun()
        untouched = all(prompt.as_drawn for prompt in self._prompts(vit))
        if begun.start is None or begun == self or not untouched:
            return self
        begun.restart(vit)
        return begun

    def other_starts(self, vit: ViTFace) -> tuple[Ept, ...]:
        """The paper's start, if the prompts are where the default recipe has put them and nothing has moved them."""
        if (self.start, self.prompt_lr_scale) != (_START, _LR_SCALE):
            return ()
        sinks = [prompt.sink for prompt in self._prompts(vit)]
        if any((sink - _START).abs().max() > 1e-4 for sink in sinks):
            return ()
        return (dataclasses.replace(self, start=_PAPER_START),)

    def restart(self, vit: ViTFace) -> None:
        assert self.start is not None
        for prompt in self._prompts(vit):
            prompt.shift_to(self.start)

    def folded(self) -> Ept:
        return dataclasses.replace(self, prompt_length=1, prompt_init="zero", start=None)
