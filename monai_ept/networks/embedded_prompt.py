# SPDX-License-Identifier: Apache-2.0

"""One layer's embedded prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ept.checks import check_choice, check_whole
from monai_ept.networks.attention import EMBEDDINGS, concat_attention, prompted_attention
from monai_ept.networks.sink_gate import sink_of

__all__ = ["PROMPT_INITS", "EmbeddedPrompt", "resize_tokens"]

PROMPT_INITS = ("normal", "uniform", "zero", "kaiming", "identity")

# exp(-20) is 2e-9: next to any usual row of scores it vanishes in float32, so the layer starts as the plain one.
_IDENTITY_SINK = -20.0
# With "scaled_concat" the logit is multiplied by the spread of the scores, which may be well below one.
_IDENTITY_SCALED = -200.0


class EmbeddedPrompt(nn.Module):
    """
    Learnable logits that join one layer's attention scores before the softmax and are dropped after it.

    Args:
        num_tokens: number of the layer's tokens, class token and other prefix tokens included.
        prompt_length: number of logits per token; ``"add"`` and ``"multiply"`` have one per pair of tokens instead.
        embed: how prompts meet the scores: ``"concat"``, ``"scaled_concat"``, ``"add"`` or ``"multiply"``.
        init: distribution of the start values: ``"normal"`` (std 0.02), ``"uniform"`` (±0.08), ``"zero"``,
            ``"kaiming"``, or ``"identity"``, which leaves the attention as it was.
        start: shift every row so that its ``logsumexp`` is exactly this number (``"concat"`` only). By default rows
            start where ``init`` puts them, near ``ln(prompt_length)``.
        num_heads: give each attention head logits of its own that all tokens share, instead of each token logits that
            all heads share; not with ``"add"`` and ``"multiply"``, which are about pairs of tokens.

    Raises:
        ValueError: when an argument is out of range.
    """

    _drawn: float = math.nan  # what the logits were after __init__, in one number; no part of the state dict

    def __init__(
        self,
        num_tokens: int,
        prompt_length: int = 100,
        *,
        embed: str = "concat",
        init: str = "normal",
        start: float | None = None,
        num_heads: int | None = None,
    ) -> None:
        super().__init__()
        self.embed = check_choice("embed", embed, EMBEDDINGS)
        self.init, self.start = check_choice("init", init, PROMPT_INITS), start
        self.num_heads = num_heads
        paired = embed in ("add", "multiply")
        if paired and num_heads is not None:
            raise ValueError(f"embed={embed!r} has a logit for each pair of tokens: logits per head need 'concat'.")
        length = num_tokens if paired else check_whole("prompt_length", prompt_length)
        rows = (num_tokens,) if num_heads is None else (check_whole("num_heads", num_heads), 1)
        self.logits = nn.Parameter(torch.empty(*rows, length))
        self._initialise(init)
        if start is not None:
            if embed != "concat":
                raise ValueError(f"start sets the logsumexp of concat prompts and has no meaning for embed={embed!r}.")
            self.shift_to(start)
        self._drawn = self._in_one_number()

    def _initialise(self, init: str) -> None:
        if init == "normal":
            nn.init.normal_(self.logits, std=0.02)
        elif init == "uniform":
            nn.init.uniform_(self.logits, -0.08, 0.08)
        elif init == "zero":
            nn.init.zeros_(self.logits)
        elif init == "kaiming":
            nn.init.kaiming_normal_(self.logits)
        else:
            neutral = {
                "concat": _IDENTITY_SINK - math.log(self.logits.shape[-1]),
                "scaled_concat": _IDENTITY_SCALED,
                "add": 0.0,
                "multiply": 1.0,
            }
            nn.init.constant_(self.logits, neutral[self.embed])

    def _in_one_number(self) -> float:
        return math.nan if self.logits.is_meta else self.logits.detach().cpu().double().square().sum().item()

    @property
    def as_drawn(self) -> bool:
        """Whether nobody has trained, loaded or shifted the logits since they were drawn."""
        # The order of a sum depends on the number of threads; a single training step changes far more.
        return math.isclose(self._in_one_number(), self._drawn, rel_tol=1e-12)

    @torch.no_grad()
    def shift_to(self, start: float | Tensor) -> None:
        """Shift every row so that its ``logsumexp`` is ``start``, or its own number of ``(…, 1)``."""
        # On the CPU wherever the logits are, so that the same draw becomes the same numbers.
        logits = self.logits if self.logits.is_meta else self.logits.cpu()
        self.logits.copy_(logits + (start - logits.logsumexp(-1, keepdim=True)))

    @property
    def scales_attention(self) -> bool:
        """Whether tokens keep a share of their attention; what is added or multiplied moves it and keeps all of it."""
        return self.embed in ("concat", "scaled_concat")

    @property
    def is_sink(self) -> bool:
        """Whether ``sink`` is all that the prompt does; other prompts act differently on each image."""
        return self.embed == "concat"

    @property
    def start_of_sink(self) -> tuple[float, float] | None:
        """
        Mean and scatter (standard deviation) of the values at which ``sink`` was drawn.

        Start values are drawn at random and not kept: a thousand fresh ones tell. None where nobody knows, since one
        zero per token is also what a folded prompt says of itself.
        """
        if self.init == "zero" and self.logits.shape[-1] == 1:
            return None if self.start is None else (self.start, 0.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fresh = EmbeddedPrompt(1000, self.logits.shape[-1], embed=self.embed, init=self.init, start=self.start)
        sink = fresh.sink.detach().double()
        return float(sink.mean()), float(sink.std())

    @property
    def sink(self) -> Tensor:
        """``logsumexp`` of each row: all that a ``"concat"`` prompt does, one number per token or head."""
        return sink_of(self.logits)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None, dropout: float = 0.0
    ) -> Tensor:
        """Attention of q, k and v ``(batch, heads, tokens, head_dim)`` with this prompt."""
        logits = self.logits
        if self.num_heads is None and q.shape[-2] != logits.shape[0]:
            raise ValueError(
                f"the prompt was made for {logits.shape[0]} tokens and met {q.shape[-2]}: "
                "build the network with the img_size of its images."
            )
        if self.is_sink:
            return concat_attention(q, k, v, logits, scale, mask=mask, dropout=dropout)
        return prompted_attention(q, k, v, logits, scale, embed=self.embed, mask=mask, dropout=dropout)

    def folded(self) -> EmbeddedPrompt:
        """
        An equal prompt with one number per token or head.

        Raises:
            ValueError: when the prompt's effect depends on the image and is not one number.
        """
        if not self.is_sink:
            raise ValueError(
                f"a prompt with embed={self.embed!r} cannot be folded: its effect depends on the image; "
                "only concat prompts are one number per token."
            )
        folded = EmbeddedPrompt(self.logits.shape[0], 1, init="zero", num_heads=self.num_heads)
        folded.logits = nn.Parameter(self.sink.detach().unsqueeze(-1), requires_grad=self.logits.requires_grad)
        return folded

    def resized(
        self, name: str, logits: Tensor, num_prefix_tokens: int, old_grid: Sequence[int], new_grid: Sequence[int]
    ) -> Tensor:
        """
        Logits that were learned on one grid of patches, for a prompt on another.

        ``"concat"`` prompts are resized through their ``logsumexp``, since nothing else of them acts; the logits of a
        row follow along, so that training can go on. Logits per head know no place and stay as they are.
        """
        if self.num_heads is not None:
            return logits
        resized = resize_tokens(logits, num_prefix_tokens, old_grid, new_grid)
        if self.is_sink:
            sink = resize_tokens(logits.logsumexp(-1, keepdim=True), num_prefix_tokens, old_grid, new_grid)
            return resized + sink - resized.logsumexp(-1, keepdim=True)
        if self.embed in ("add", "multiply"):
            return resize_tokens(resized.T, num_prefix_tokens, old_grid, new_grid).T
        return resized


def resize_tokens(values: Tensor, num_prefix_tokens: int, old_grid: Sequence[int], new_grid: Sequence[int]) -> Tensor:
    """
    Resize values that belong to token positions as position embeddings are resized.

    Args:
        values: ``(tokens, channels)``, prefix tokens first, patches in row-major order.
        num_prefix_tokens: number of leading rows that have no place in the grid; they are kept as they are.
        old_grid: patches along each spatial axis, 2 or 3 of them.
        new_grid: the same for the result.

    Returns:
        ``(new tokens, channels)``; bicubic with antialiasing in 2-D, as in timm, and trilinear in 3-D.
    """
    prefix, patches = values[:num_prefix_tokens], values[num_prefix_tokens:]
    image = patches.T.reshape(1, -1, *old_grid).float()
    if len(old_grid) == 2:
        image = F.interpolate(image, size=tuple(new_grid), mode="bicubic", antialias=True, align_corners=False)
    else:
        image = F.interpolate(image, size=tuple(new_grid), mode="trilinear", align_corners=False)
    return torch.cat([prefix, image.flatten(2)[0].T.to(values.dtype)])
