# SPDX-License-Identifier: Apache-2.0

"""Low-rank updates of the attention's projections."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.checks import check_choice, check_number, check_whole
from monai_ept.methods.base import Method, register_method
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.tuner import Tuner, innermost, own_modules

__all__ = ["Lora", "LoraLinear"]

TARGETS = ("q", "k", "v", "proj")


@register_method
@dataclass(frozen=True)
class Lora(Method):
    """
    Add trained matrices of low rank to projections of the attention; ``fold()`` merges them into the weights.

    Args:
        rank: rank of each update, at most the width of the layers.
        alpha: the update counts ``alpha / rank`` times; ``rank`` by default, which is once.
        targets: which projections, of ``"q"``, ``"k"``, ``"v"`` and ``"proj"``.

    Raises:
        ValueError: when a setting is out of range, the rank beyond that of the layers, or the attention lacks a
            projection.
        TypeError: when the class of the attention is not supported.
    """

    name: ClassVar[str] = "lora"
    reference: ClassVar[str] = "Hu et al. 2021, arXiv 2106.09685"

    rank: int = 4
    alpha: float | None = None
    targets: Sequence[str] = ("q", "v")

    def __post_init__(self) -> None:
        check_whole("rank", self.rank)
        if self.alpha is not None:
            check_number("alpha", self.alpha, above=0)
        if not isinstance(self.targets, (list, tuple)) or not self.targets:
            raise ValueError(f"targets must be a list of {', '.join(map(repr, TARGETS))}, got {self.targets!r}.")
        for target in self.targets:
            check_choice("targets", target, TARGETS)
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets names a projection twice: {', '.join(self.targets)}.")
        # One order, so that equal settings are equal.
        object.__setattr__(self, "targets", tuple(target for target in TARGETS if target in self.targets))

    def apply(self, vit: ViTFace) -> None:
        places = [self._places(vit, index) for index in range(len(vit.blocks))]
        scale = (self.rank if self.alpha is None else self.alpha) / self.rank
        for index, by_module in enumerate(places):
            vit.open_attention(index)
            attn = vit.attention(index)
            for name, parts in by_module.items():
                setattr(attn, name, LoraLinear(getattr(attn, name), parts, self.rank, scale))

    def _places(self, vit: ViTFace, index: int) -> dict[str, dict[str, slice]]:
        """The targets by the module that they are rows of."""
        there = vit.projections(index)
        by_module: dict[str, dict[str, slice]] = {}
        for target in self.targets:
            if target not in there:
                attn = vit.attention(index)
                linear = [name for name, module in own_modules(attn) if isinstance(module, nn.Linear)]
                raise ValueError(
                    f"method 'lora' finds no projection {target!r} in the {type(attn).__name__} of layer {index}: "
                    f"it has {', '.join(map(repr, there)) or 'none of q, k, v and proj'}, "
                    f"and its linear layers are {', '.join(linear) or 'none'}."
                )
            width = innermost(getattr(vit.attention(index), there[target].name)).in_features
            if self.rank > width:
                raise ValueError(
                    f"rank is {self.rank}, and the layers that it updates are {width} wide, which is the highest rank "
                    f"that there is: choose 1 to {width}."
                )
            by_module.setdefault(there[target].name, {})[target] = there[target].rows
        return by_module

    def folded(self) -> None:
        return None


class LoraLinear(Tuner):
    """
    A linear layer with an update of low rank on some of its rows.

    Args:
        inner: the linear layer.
        parts: rows of its weight, by the name of the projection that they are; each gets an update of its own.
        rank: rank of each update.
        scale: factor of the updates.
    """

    def __init__(self, inner: nn.Module, parts: Mapping[str, slice], rank: int, scale: float) -> None:
        super().__init__(inner)
        linear = innermost(inner)
        self.parts = dict(parts)
        self.rank = rank
        self.scale = scale
        self.out_features = linear.out_features
        # The first factors of all parts stand in one matrix, so that the input is read once.
        self.down = nn.Parameter(torch.empty(len(parts) * rank, linear.in_features))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.up = nn.ParameterDict(
            {part: torch.zeros(rows.stop - rows.start, rank) for part, rows in self.parts.items()}
        )

    @property
    def weight(self) -> Tensor:
        """The backbone's weight, for modules that read it while the tuner steps aside."""
        return cast(Tensor, self.inner.weight)

    def _factor(self) -> Tensor:
        """The second factors of all parts as one matrix, zero where a part has no say."""
        last = len(self.parts) - 1
        placed = [
            F.pad(
                self.up[part],
                (index * self.rank, (last - index) * self.rank, rows.start, self.out_features - rows.stop),
            )
            for index, (part, rows) in enumerate(self.parts.items())
        ]
        return self.scale * torch.stack(placed).sum(0)

    def tuned(self, x: Tensor) -> Tensor:
        low = F.linear(x, self.down.to(x.dtype))
        return self.inner(x) + F.linear(low, self._factor().to(low.dtype))

    def folded(self) -> nn.Module | None:
        if not isinstance(self.inner, nn.Linear):
            return None
        merged = copy.deepcopy(self.inner)
        with torch.no_grad():
            merged.weight += (self._factor() @ self.down).to(merged.weight)
        return merged
