# SPDX-License-Identifier: Apache-2.0

"""An attention module with an embedded prompt."""

from __future__ import annotations

from monai.networks.blocks.selfattention import SABlock
from torch import Tensor, nn

from monai_ept.networks.attention import attention_kept, attention_weights
from monai_ept.networks.attention_classes import attention_halves
from monai_ept.networks.embedded_prompt import EmbeddedPrompt
from monai_ept.networks.tuner import Tuner

__all__ = ["PromptedAttention"]


class PromptedAttention(Tuner):
    """
    Runs an attention module's own projections, with the prompt in its softmax.

    Args:
        inner: an attention module of a supported class, see ``attention_halves``.
        prompt: the layer's prompt.

    Raises:
        TypeError: when the class of ``inner`` is not supported.

    Example::

        >>> from timm.layers.attention import Attention
        >>> attn = PromptedAttention(Attention(64), EmbeddedPrompt(num_tokens=17, prompt_length=5))
        >>> attn(torch.randn(2, 17, 64)).shape
        torch.Size([2, 17, 64])
    """

    def __init__(self, inner: nn.Module, prompt: EmbeddedPrompt) -> None:
        super().__init__(inner)
        self.prompt = prompt
        self._before, self._after = attention_halves(inner)

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        inner, prompt = self.inner, self.prompt  # each look at a module costs as much as a small operation
        q, k, v, scale, dropout, mask = self._before(inner, x, *args, **kwargs)
        if isinstance(inner, SABlock) and inner.save_attn:
            # Who builds a MONAI ViT with save_attn=True reads att_mat, which a fused kernel never has.
            inner.att_mat = attention_weights(q, k, prompt.logits, scale, embed=prompt.embed, mask=mask).detach()
        return self._after(inner, prompt(q, k, v, scale, mask, dropout), x)

    def kept(self, x: Tensor, *args, **kwargs) -> Tensor:
        """
        The share of its attention ``(batch, heads, tokens)`` that each token keeps, for an input of this module.

        Raises:
            ValueError: when prompts of this kind scale nothing, see ``attention_kept``.
        """
        heads = self._before(self.inner, x, *args, **kwargs)
        return attention_kept(
            heads.q, heads.k, self.prompt.logits, heads.scale, embed=self.prompt.embed, mask=heads.mask
        )

    def folded(self) -> PromptedAttention:
        return PromptedAttention(self.inner, self.prompt.folded())
