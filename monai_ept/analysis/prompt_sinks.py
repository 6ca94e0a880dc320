# SPDX-License-Identifier: Apache-2.0

"""What training made of the prompts: the number ``c`` of each token against where it started."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from monai_ept.analysis.kept_attention import prompted_layers
from monai_ept.model import TunedViT

__all__ = ["LayerSinks", "learned_sinks"]


@dataclass(frozen=True)
class LayerSinks:
    """One layer's ``c = logsumexp`` of each token's prompts, or of each head's."""

    layer: int
    prefix: np.ndarray  # of the tokens before the patches
    patches: np.ndarray  # of the patches; of the heads, where prompts belong to heads
    start: float | None  # mean of the start values; None where nobody knows them
    scatter: float  # standard deviation of the start values, which are drawn at random
    trains: bool
    per: str = "token"  # or "head"

    @property
    def starts_scattered(self) -> bool:
        """Whether the start values differ by more than rounding."""
        return self.scatter > 1e-6

    @property
    def values(self) -> np.ndarray:
        """Of all tokens."""
        return np.concatenate([self.prefix, self.patches])

    @property
    def moved(self) -> float:
        """Root mean square distance of all tokens from the mean start value."""
        return float("nan") if self.start is None else float(np.sqrt(np.mean((self.values - self.start) ** 2)))


def learned_sinks(net: TunedViT) -> list[LayerSinks]:
    """``c`` of every layer whose prompt is one number per token or head; empty where there are none."""
    prefix = net.vit.num_prefix_tokens + net.vit.added_tokens
    found = []
    for index, attention in prompted_layers(net).items():
        prompt = attention.prompt
        if not prompt.is_sink:
            continue
        sink = prompt.sink.detach().double().cpu().numpy().ravel()
        per, split = ("token", prefix) if prompt.num_heads is None else ("head", 0)
        # The start is asked of a fresh prompt: this one may have been loaded, and then only the methods know it.
        with torch.device("meta"):
            fresh = [method.make_prompt(net.vit, index) for method in net.methods]
        start, scatter = next((one.start_of_sink for one in fresh if one is not None), None) or (None, 0.0)
        found.append(LayerSinks(index, sink[:split], sink[split:], start, scatter, prompt.logits.requires_grad, per))
    return found
