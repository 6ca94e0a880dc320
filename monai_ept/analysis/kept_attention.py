# SPDX-License-Identifier: Apache-2.0

"""The factors by which prompts scale each token's attention output, per layer and place in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_ept.model import TunedViT
from monai_ept.networks import PromptedAttention, tuners

__all__ = ["KeptAttention", "ScalingMaps", "prompted_layers", "scaled_layers"]


def prompted_layers(net: TunedViT) -> dict[int, PromptedAttention]:
    """Layers whose attention has a prompt, by index."""
    return {
        index: tuner
        for index, block in enumerate(net.vit.blocks)
        for _, tuner in tuners(block)
        if isinstance(tuner, PromptedAttention)
    }


def scaled_layers(net: TunedViT) -> dict[int, PromptedAttention]:
    """Those of them whose prompt scales it."""
    return {index: layer for index, layer in prompted_layers(net).items() if layer.prompt.scales_attention}


class KeptAttention:
    """
    A context in which a network notes which share of its attention each token keeps: the factors ``g``.

    Example::

        >>> with KeptAttention(net) as kept:
        ...     logits = net(images)
        >>> kept.take().shape  # images, layers, tokens; the mean over heads
        torch.Size([2, 12, 197])
    """

    def __init__(self, net: TunedViT) -> None:
        self.layers = scaled_layers(net)
        self._seen: dict[int, Tensor] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> KeptAttention:
        self._hooks = [
            attention.register_forward_pre_hook(self._note(index), with_kwargs=True)
            for index, attention in self.layers.items()
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, index: int) -> Any:
        def note(attention: Any, args: tuple, kwargs: dict[str, Any]) -> None:
            if attention.enabled:
                with torch.no_grad():
                    self._seen[index] = attention.kept(*args, **kwargs).mean(dim=1)

        return note

    def take(self) -> Tensor:
        """Factors ``(images, layers, tokens)`` of the last forward pass."""
        return torch.stack([self._seen[index] for index in self.layers], dim=1)


@dataclass
class ScalingMaps:
    """Factors ``g`` of many images: their means, and single images' maps."""

    layers: list[int]  # indices of the prompted ones
    num_prefix: int  # tokens that stand before the patches
    grid: tuple[int, ...]  # patches along each spatial axis
    total: np.ndarray  # sum over all images, (layers, tokens)
    class_totals: np.ndarray  # sums over the images of each class, (classes, layers, tokens)
    counts: np.ndarray  # images of each class
    patches: np.ndarray  # each image's mean over patches, (images, layers)
    prefixes: np.ndarray  # each image's prefix tokens, (images, layers, num_prefix)
    examples: dict[str, np.ndarray] = field(default_factory=dict)  # (layers, tokens) of single images, by id
    images: int = 0

    @classmethod
    def empty(cls, net: TunedViT, num_images: int) -> ScalingMaps | None:
        """Maps of no image yet; None where no prompt scales anything."""
        layers = list(scaled_layers(net))
        if not layers:
            return None
        prefix = net.vit.num_prefix_tokens + net.vit.added_tokens
        shape = (len(layers), net.vit.num_tokens)
        totals = np.zeros(shape), np.zeros((net.num_classes, *shape)), np.zeros(net.num_classes, dtype=np.int64)
        each = np.zeros((num_images, len(layers))), np.zeros((num_images, len(layers), prefix))
        return cls(layers, prefix, tuple(net.vit.grid_size), *totals, *each)

    def add(self, kept: Tensor, member: np.ndarray, ids: Sequence[str], examples: Sequence[str]) -> None:
        """Add images' factors ``(images, layers, tokens)``; ``member`` says which image is of which class."""
        values = kept.double().cpu().numpy()
        where = slice(self.images, self.images + len(values))
        self.total += values.sum(axis=0)
        self.class_totals += np.einsum("nk,nlt->klt", member.astype(np.float64), values)
        self.counts += member.sum(axis=0)
        self.patches[where] = values[..., self.num_prefix :].mean(axis=-1)
        self.prefixes[where] = values[..., : self.num_prefix]
        self.examples.update({name: one for name, one in zip(ids, values, strict=True) if name in examples})
        self.images += len(values)

    @property
    def mean(self) -> np.ndarray:
        """Mean over all images, ``(layers, tokens)``."""
        return self.total / self.images

    @property
    def class_means(self) -> np.ndarray:
        """Mean over the images of each class, ``(classes, layers, tokens)``; NaN for a class without any."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.class_totals / self.counts[:, None, None]

    def to_map(self, tokens: np.ndarray) -> np.ndarray:
        """Values of tokens ``(…, tokens)`` as maps over the image ``(…, rows, columns)``; of a volume its middle."""
        maps = tokens[..., self.num_prefix :].reshape(*tokens.shape[:-1], *self.grid)
        if len(self.grid) == 2:
            return maps
        # The same slice, the same way up, as evaluation.gallery shows of the volume.
        return np.rot90(maps[..., self.grid[2] // 2], axes=(-2, -1))
