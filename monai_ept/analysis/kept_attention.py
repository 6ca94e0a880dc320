# SPDX-License-Identifier: Apache-2.0

"""The factors by which prompts scale each token's attention output, per layer and place in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ScalingMaps:
    """Factors ``g`` of images."""

    layers: list[int]  # indices of the prompted ones
    num_prefix: int  # tokens that stand before the patches
    grid: tuple[int, ...]  # patches along each spatial axis
    kept: np.ndarray  # the factors (images, layers, tokens)
    member: np.ndarray  # which image is of which class (images, classes)

    @classmethod
    def of(cls, net: TunedViT, taken: Sequence[Tensor], member: np.ndarray) -> ScalingMaps | None:
        """From what ``KeptAttention`` took of each batch; None where no prompt scales anything."""
        if not (layers := list(scaled_layers(net))):
            return None
        prefix = net.vit.num_prefix_tokens + net.vit.added_tokens
        return cls(layers, prefix, tuple(net.vit.grid_size), torch.cat(list(taken)).double().cpu().numpy(), member)

    @property
    def counts(self) -> np.ndarray:
        """Images of each class."""
        return np.asarray(self.member.sum(axis=0))

    @property
    def patches(self) -> np.ndarray:
        """Each image's mean over patches, ``(images, layers)``."""
        return np.asarray(self.kept[..., self.num_prefix :].mean(axis=-1))

    @property
    def prefixes(self) -> np.ndarray:
        """Each image's prefix tokens, ``(images, layers, num_prefix)``."""
        return self.kept[..., : self.num_prefix]

    @property
    def mean(self) -> np.ndarray:
        """Mean over all images, ``(layers, tokens)``."""
        return np.asarray(self.kept.mean(axis=0))

    @property
    def class_means(self) -> np.ndarray:
        """Mean over the images of each class, ``(classes, layers, tokens)``; NaN for a class without any."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.tensordot(self.member.T.astype(np.float64), self.kept, 1) / self.counts[:, None, None]

    def to_map(self, tokens: np.ndarray) -> np.ndarray:
        """Values of tokens ``(…, tokens)`` as maps over the image ``(…, rows, columns)``; of a volume its middle."""
        maps = tokens[..., self.num_prefix :].reshape(*tokens.shape[:-1], *self.grid)
        if len(self.grid) == 2:
            return maps
        # The same slice, the same way up, as evaluation.gallery shows of the volume.
        return np.rot90(maps[..., self.grid[2] // 2], axes=(-2, -1))
