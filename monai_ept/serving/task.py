# SPDX-License-Identifier: Apache-2.0

"""A task of a bank: all that its delta has taught, apart from the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from monai_ept.methods.lora import LoraLinear
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.model import TunedViT
from monai_ept.networks.open_attention_module import OpenAttention
from monai_ept.networks.prompted_attention_module import PromptedAttention
from monai_ept.networks.tuner import own_parameters, tuners

__all__ = ["LowRank", "Task", "task_of"]


class LowRank(NamedTuple):
    """An update of a projection: ``x @ down @ up`` is added to what it says of x."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class Task:
    """
    A task of a bank. It never changes: a bank that learns something new of a task has another one.

    Args:
        name: how the bank calls it.
        method: what it was tuned with; several are joined with a plus.
        num_classes: number of its logits.
        class_names: names of its classes, where the delta has them.
        temperature: what its logits are divided by.
        views: over which views of an image they are averaged.
        readout: what its head reads.
        prediction_sets: what makes sets of classes from its probabilities.
        metadata: all that its delta says about it.
        head: from features to logits.
        sinks: by layer, what joins the scores of its attention, ``(1 or heads, tokens or 1)``.
        low_rank: by layer and projection (q, k, v or proj), what is added to its output.
        solved: what the head that was solved on the backbone as it came says, as a task; its logits and the task's own
            are averaged.
        network: a network of its own, for what cannot be told in sinks and low rank; the frozen weights are shared.
    """

    name: str
    method: str
    num_classes: int
    class_names: tuple[str, ...] | None
    temperature: float
    views: str
    readout: str | int
    prediction_sets: PredictionSets | None
    metadata: Mapping[str, Any]
    head: nn.Module
    sinks: Mapping[int, Tensor]
    low_rank: Mapping[tuple[int, str], LowRank]
    solved: Task | None = None
    network: TunedViT | None = None

    @property
    def mixes(self) -> bool:
        """Whether its images go through the backbone together with those of others."""
        return self.network is None

    @property
    def head_only(self) -> bool:
        """Whether its features are those of the untouched backbone."""
        return self.mixes and not self.sinks and not self.low_rank and self.solved is None


def task_of(name: str, net: TunedViT, metadata: Mapping[str, Any]) -> Task:
    """
    The task that a network has been trained for.

    Args:
        net: the network, which may be thrown away afterwards if the task ``mixes``.
    """
    mixes = _mixes(net)
    net.requires_grad_(False)
    task = Task(
        name=name,
        method=net.method_name,
        num_classes=net.num_classes,
        class_names=None if net.class_names is None else tuple(net.class_names),
        temperature=net.temperature,
        views=net.views,
        readout=net.readout,
        prediction_sets=net.prediction_sets,
        metadata=MappingProxyType(dict(metadata)),
        head=net.head,
        sinks=MappingProxyType(_sinks(net) if mixes else {}),
        low_rank=MappingProxyType(_low_rank(net) if mixes else {}),
        network=None if mixes else net,
    )
    if net.solved is None or not mixes:
        return task
    return replace(task, solved=replace(task, head=net.solved.head, sinks={}, low_rank={}))


def _mixes(net: TunedViT) -> bool:
    if any(param.requires_grad for _, param in own_parameters(net.backbone)):
        return False
    for _, tuner in tuners(net.backbone):
        sink = isinstance(tuner, PromptedAttention) and tuner.prompt.is_sink
        update = isinstance(tuner, LoraLinear) and isinstance(tuner.inner, nn.Linear)
        if not (sink or update or isinstance(tuner, OpenAttention)):
            return False
    return True


@torch.no_grad()
def _sinks(net: TunedViT) -> dict[int, Tensor]:
    found = {}
    for layer, block in enumerate(net.vit.blocks):
        for _, tuner in tuners(block):
            if isinstance(tuner, PromptedAttention):
                prompt = tuner.prompt
                found[layer] = (prompt.sink if prompt.num_heads else prompt.sink.unsqueeze(0)).clone()
    return found


@torch.no_grad()
def _low_rank(net: TunedViT) -> dict[tuple[int, str], LowRank]:
    found = {}
    for layer, block in enumerate(net.vit.blocks):
        for _, tuner in tuners(block):
            if isinstance(tuner, LoraLinear):
                for part, down in zip(tuner.parts, tuner.down.split(tuner.rank), strict=True):
                    found[layer, part] = LowRank(down.T.contiguous(), (tuner.scale * tuner.up[part]).T.contiguous())
    return found
