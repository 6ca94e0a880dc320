# SPDX-License-Identifier: Apache-2.0

"""Visual Prompt Tuning: tokens of our own among those of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.checks import check_choice, check_number, check_whole
from monai_ept.methods.base import MOST_ADDED, Method, register_method
from monai_ept.networks.attention_classes import attention_halves
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.prompted_attention_module import PromptedAttention
from monai_ept.networks.tuner import Tuner, tuners

__all__ = ["PromptTokens", "Vpt"]


@register_method
@dataclass(frozen=True)
class Vpt(Method):
    """
    Put trained tokens among those of the image, in every layer anew (deep) or once at the input (shallow).

    They stand between prefix tokens and patches, turn with no position embedding, and are gone before the pooling.

    Args:
        num_tokens: how many tokens.
        layers: ``"deep"`` or ``"shallow"``.
        dropout: probability of dropping a number of the prompts while training.

    Raises:
        ValueError: when a setting is out of range, or comes after embedded prompts.
        TypeError: when the class of the attention is not supported.
    """

    name: ClassVar[str] = "vpt"
    adamw_lr: ClassVar[float] = 1e-3
    reference: ClassVar[str] = "Jia et al. 2022, arXiv 2203.12119"

    num_tokens: int = 50
    layers: str = "deep"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_whole("num_tokens", self.num_tokens, most=MOST_ADDED)
        check_choice("layers", self.layers, ("deep", "shallow"))
        check_number("dropout", self.dropout, least=0, below=1)

    def apply(self, vit: ViTFace) -> None:
        if any(isinstance(tuner, PromptedAttention) for _, tuner in tuners(vit.module)):
            raise ValueError(
                "'vpt' adds tokens that the embedded prompts of 'ept' or 'damp' were not made for: "
                "name 'vpt' before them."
            )
        last = len(vit.blocks) - 1
        for index in range(last + 1):
            # Other classes may count tokens, for a relative position bias or the like.
            attention_halves(vit.attention(index))
        position = vit.num_prefix_tokens + vit.added_tokens
        # As many numbers as a patch embedding has on both its sides: its Xavier bound, whatever the image.
        bound = math.sqrt(6 / (vit.in_channels * math.prod(vit.patch_size) + vit.embed_dim))
        for index in range(last + 1):
            prompt = None
            if self.layers == "deep" or index == 0:
                prompt = nn.Parameter(torch.empty(self.num_tokens, vit.embed_dim).uniform_(-bound, bound))
            tokens = partial(
                PromptTokens,
                num_tokens=self.num_tokens,
                position=position,
                prompt=prompt,
                leave=self.layers == "deep" or index == last,
                dropout=self.dropout,
            )
            vit.wrap_block(index, tokens)


class PromptTokens(Tuner):
    """
    A block that tokens of ours pass through.

    Args:
        inner: the block.
        num_tokens: how many they are.
        position: how many tokens stand before them.
        prompt: the tokens that enter here; None where they have entered before.
        leave: whether they leave after this block.
        dropout: probability of dropping a number of theirs while training.
    """

    prompt: nn.Parameter | None

    def __init__(
        self,
        inner: nn.Module,
        num_tokens: int,
        position: int,
        prompt: nn.Parameter | None,
        *,
        leave: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(inner)
        self.num_tokens = self.added_tokens = num_tokens
        self.position = position
        self.leave = leave
        self.dropout = dropout
        self.register_parameter("prompt", prompt)

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        start, end = self.position, self.position + self.num_tokens
        if self.prompt is not None:
            tokens = F.dropout(self.prompt, self.dropout, self.training).to(x.dtype).expand(x.shape[0], -1, -1)
            x = torch.cat([x[:, :start], tokens, x[:, start:]], dim=1)
        if kwargs.get("rope") is not None:
            # The attention turns all tokens after the prefix by this: first come ours, to be left as they are.
            kwargs["rope"] = torch.cat([self._unturned(kwargs["rope"]), kwargs["rope"]], dim=-2)
        x = self.inner(x, *args, **kwargs)
        return torch.cat([x[:, :start], x[:, end:]], dim=1) if self.leave else x

    def _unturned(self, rope: Tensor) -> Tensor:
        """Rows of a rotary embedding, sines before cosines, that turn by nothing."""
        shape = (*rope.shape[:-2], self.num_tokens, rope.shape[-1] // 2)
        return torch.cat([rope.new_zeros(shape), rope.new_ones(shape)], dim=-1)
