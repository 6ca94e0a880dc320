# SPDX-License-Identifier: Apache-2.0

"""A backbone in which each image of a batch goes the way of its own task.

The modules hold nothing that changes. Where the images of a batch go is a ``Route``, which travels in a context
variable: threads that predict at the same time never see each other's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.networks.attention import sink_attention
from monai_ept.networks.attention_classes import attention_halves, calls_its_projections
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.tuner import Tuner
from monai_ept.serving.task import LowRank, Task

__all__ = ["ReportingBlock", "Route", "RoutedAttention", "RoutedLinear", "open_routes", "travel"]


class Route:
    """
    The way of a batch of images through the backbone.

    Args:
        which: for each image the number of its task among them.
        last: of how many of the last blocks the tokens are kept.

    Attributes:
        tokens: what the last blocks have returned.
    """

    def __init__(self, tasks: Sequence[Task], which: Tensor, last: int = 0) -> None:
        self._which = which
        # Of each task once; a layer asks for those of each image, which are more, when it needs them.
        self._sinks = {
            layer: _one_shape([task.sinks.get(layer) for task in tasks])
            for layer in {layer for task in tasks for layer in task.sinks}
        }
        self._low_rank = {
            place: _one_rank([task.low_rank.get(place) for task in tasks])
            for place in {place for task in tasks for place in task.low_rank}
        }
        self.updated = {layer for layer, _ in self._low_rank}
        self.tokens: deque[Tensor] = deque(maxlen=last)

    def sink(self, layer: int) -> Tensor | None:
        """What joins the scores of each image's attention, ``(batch, 1 or heads, tokens or 1)``, if anything does."""
        sinks = self._sinks.get(layer)
        return None if sinks is None else sinks[self._which]

    def update(self, layer: int, parts: Mapping[str, slice], width: int) -> LowRank | None:
        """
        Each image's update of a linear layer, ``(batch, in, rank)`` and ``(batch, rank, width)``, if there is any.

        Args:
            parts: which of its outputs belong to which projection.
        """
        found = [(self._low_rank[layer, part], at) for part, at in parts.items() if (layer, part) in self._low_rank]
        if not found:
            return None
        # Side by side, with zeros for what none of them updates: one product into a whole tensor is the fastest.
        down = torch.cat([update.down for update, _ in found], dim=2)
        up = torch.cat([F.pad(update.up, (at.start, width - at.stop)) for update, at in found], dim=1)
        return LowRank(down[self._which], up[self._which])


def _one_shape(sinks: Sequence[Tensor | None]) -> Tensor:
    """Those of all tasks in one shape; a task without loses nothing of its attention to a score of minus infinity."""
    there = [sink for sink in sinks if sink is not None]
    shape = torch.broadcast_shapes(*(sink.shape for sink in there))
    none = there[0].new_full((), -torch.inf)
    return torch.stack([(none if sink is None else sink).expand(shape) for sink in sinks])


def _one_rank(updates: Sequence[LowRank | None]) -> LowRank:
    """Those of all tasks with the highest rank among them; what is added is zero, and so is all of a task without."""
    there = [update for update in updates if update is not None]
    none = LowRank(there[0].down[:, :0], there[0].up[:0])
    lacks = [max(len(update.up) for update in there) - len((update or none).up) for update in updates]
    downs = [F.pad((update or none).down, (0, lack)) for update, lack in zip(updates, lacks, strict=True)]
    ups = [F.pad((update or none).up, (0, 0, 0, lack)) for update, lack in zip(updates, lacks, strict=True)]
    return LowRank(torch.stack(downs), torch.stack(ups))


_ROUTE: ContextVar[Route] = ContextVar("route")


@contextmanager
def travel(route: Route) -> Iterator[Route]:
    """A context in which the backbone's forward, in this thread, goes this way."""
    token = _ROUTE.set(route)
    try:
        yield route
    finally:
        _ROUTE.reset(token)


class RoutedAttention(Tuner):
    """
    An attention module that gives each image the sink of its task.

    Args:
        inner: an attention module of a supported class, see ``attention_halves``.
    """

    def __init__(self, inner: nn.Module, layer: int) -> None:
        super().__init__(inner)
        self.layer = layer
        self._before, self._after = attention_halves(inner)
        self._calls_its_projections = calls_its_projections(inner)

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        route = _ROUTE.get()
        sink = route.sink(self.layer)
        if sink is None and (self._calls_its_projections or self.layer not in route.updated):
            return self.inner(x, *args, **kwargs)
        q, k, v, scale, dropout, mask = self._before(self.inner, x, *args, **kwargs)
        if sink is None:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
        else:
            out = sink_attention(q, k, v, sink, scale, mask=mask, dropout=dropout)
        return self._after(self.inner, out, x)


class RoutedLinear(Tuner):
    """
    A linear layer that gives each image the updates of its task.

    Args:
        parts: rows of its weight, by the name of the projection that they are.
    """

    def __init__(self, inner: nn.Module, layer: int, parts: dict[str, slice]) -> None:
        super().__init__(inner)
        self.layer = layer
        self.parts = parts

    @property
    def weight(self) -> Tensor:
        """The backbone's weight, for modules that read it where no task updates it."""
        return cast(Tensor, self.inner.weight)

    def tuned(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        update = _ROUTE.get().update(self.layer, self.parts, out.shape[-1])
        if update is None:
            return out
        low = torch.bmm(x, update.down)
        return out.baddbmm_(low.to(out.dtype), update.up.to(out.dtype))  # which autocast leaves alone


class ReportingBlock(Tuner):
    """A block that shows the route what it returns."""

    def tuned(self, *args, **kwargs) -> Tensor:
        tokens = self.inner(*args, **kwargs)
        _ROUTE.get().tokens.append(tokens)
        return tokens


def open_routes(vit: ViTFace) -> None:
    """Let each image of a batch go its own way through a backbone, which answers in ``travel`` alone from now on."""
    for layer in range(len(vit.blocks)):
        with suppress(TypeError):  # an attention of a class that no sink and no update works in: its tasks have none
            parts: dict[str, dict[str, slice]] = {}
            for part, place in vit.projections(layer).items():
                parts.setdefault(place.name, {})[part] = place.rows
            attn = vit.attention(layer)
            for name, rows in parts.items():
                setattr(attn, name, RoutedLinear(getattr(attn, name), layer, rows))
            vit.wrap_attention(layer, partial(RoutedAttention, layer=layer))
        vit.wrap_block(layer, ReportingBlock)
