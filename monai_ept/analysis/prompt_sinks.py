# SPDX-License-Identifier: Apache-2.0

"""What training made of the prompts: the number ``c`` of each token against where it started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from monai_ept.analysis.kept_attention import prompted_layers
from monai_ept.methods import Damp, Ept
from monai_ept.methods.base import layer_indices
from monai_ept.model import TunedViT
from monai_ept.networks.embedded_prompt import EmbeddedPrompt

__all__ = ["LayerSinks", "learned_sinks"]


@dataclass(frozen=True)
class LayerSinks:
    """
    One layer's ``c = logsumexp`` of each token's prompts, or of each head's.

    Args:
        layer: its index.
        prefix: of the tokens before the patches.
        patches: of the patches; of the heads, where prompts belong to heads.
        start: mean of the start values; None where nobody knows them.
        scatter: standard deviation of the start values, which are drawn at random.
        trains: whether they were trained at all.
        per: "token" or "head".
    """

    layer: int
    prefix: np.ndarray
    patches: np.ndarray
    start: float | None
    scatter: float
    trains: bool
    per: str = "token"

    @property
    def moved(self) -> float:
        """Root mean square distance of all tokens from the mean start value."""
        if self.start is None:
            return float("nan")
        return float(np.sqrt(np.mean((np.concatenate([self.prefix, self.patches]) - self.start) ** 2)))


def learned_sinks(net: TunedViT) -> list[LayerSinks]:
    """
    ``c`` of every layer with "concat" prompts; empty where there are none.

    Start values were drawn at random and are not in the delta: what is known is their distribution, of which a fresh
    prompt gives the mean and the scatter.
    """
    prefix = net.vit.num_prefix_tokens + net.vit.added_tokens
    found = []
    for index, attention in prompted_layers(net).items():
        prompt = attention.prompt
        if prompt.embed != "concat":
            continue
        sink = prompt.sink.detach().double().cpu().numpy().ravel()
        per, split = ("token", prefix) if prompt.num_heads is None else ("head", 0)
        start, scatter = _start(net, index)
        found.append(LayerSinks(index, sink[:split], sink[split:], start, scatter, prompt.logits.requires_grad, per))
    return found


def _start(net: TunedViT, layer: int) -> tuple[float | None, float]:
    for method in net.methods:
        if isinstance(method, Damp) and layer in _layers(net, method.layers):
            return method.c, 0.0
        if isinstance(method, Ept) and layer in _layers(net, method.prompt_layers):
            if method.prompt_length == 1 and method.prompt_init == "zero" and method.start is None:
                return None, 0.0  # perhaps: this is also what a folded adapter says of itself
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                fresh = EmbeddedPrompt(
                    1000, method.prompt_length, embed=method.embed, init=method.prompt_init, start=method.start
                )
            sink = fresh.sink.detach().double()
            return float(sink.mean()), float(sink.std())
    return None, 0.0


def _layers(net: TunedViT, layers: str | Sequence[int]) -> list[int]:
    return layer_indices(layers, len(net.vit.blocks))
