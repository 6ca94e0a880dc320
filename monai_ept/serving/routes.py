# SPDX-License-Identifier: Apache-2.0

"""A backbone in which each image of a batch goes the way of its own task.

The modules hold nothing that changes. Where the images of a batch go is a ``Route``, which travels in a context
variable: threads that predict at the same time never see each other's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
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
        tasks: of each image.
        last: of how many of the last blocks the tokens are kept.

    Attributes:
        sinks: by layer, what joins the scores of the attention, ``(batch, 1 or heads, tokens or 1)``.
        low_rank: by layer and projection, the update of each image: ``(batch, in, rank)`` and ``(batch, rank, out)``.
        tokens: what the last blocks have returned.
    """

    def __init__(self, tasks: Sequence[Task], last: int = 0) -> None:
        different = list(dict.fromkeys(tasks))
        which = [different.index(task) for task in tasks]
        self.sinks = {
            layer: _sinks([task.sinks.get(layer) for task in different])[which]
            for layer in {layer for task in different for layer in task.sinks}
        }
        self.low_rank: dict[tuple[int, str], LowRank] = {}
        for place in {place for task in different for place in task.low_rank}:
            down, up = _padded([task.low_rank.get(place) for task in different])
            self.low_rank[place] = LowRank(down[which], up[which])
        self.updated = {layer for layer, _ in self.low_rank}
        self.tokens: deque[Tensor] = deque(maxlen=last)


def _sinks(sinks: Sequence[Tensor | None]) -> Tensor:
    """Those of all tasks in one shape; a task without loses nothing of its attention to a score of minus infinity."""
    there = [sink for sink in sinks if sink is not None]
    shape = torch.broadcast_shapes(*(sink.shape for sink in there))
    none = there[0].new_full((), -torch.inf)
    return torch.stack([(none if sink is None else sink).expand(shape) for sink in sinks])


def _padded(updates: Sequence[LowRank | None]) -> LowRank:
    """Those of all tasks with the highest rank among them; what is added is zero, and so is all of a task without."""
    there = [update for update in updates if update is not None]
    rank = max(update.down.shape[1] for update in there)
    down = there[0].down.new_zeros(len(updates), there[0].down.shape[0], rank)
    up = there[0].up.new_zeros(len(updates), rank, there[0].up.shape[1])
    for index, update in enumerate(updates):
        if update is not None:
            down[index, :, : update.down.shape[1]] = update.down
            up[index, : update.up.shape[0]] = update.up
    return LowRank(down, up)


_ROUTE: ContextVar[Route | None] = ContextVar("route", default=None)


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
        layer: where it stands.
    """

    def __init__(self, inner: nn.Module, layer: int) -> None:
        super().__init__(inner)
        self.layer = layer
        self._before, self._after = attention_halves(inner)
        self._calls_its_projections = calls_its_projections(inner)

    def tuned(self, x: Tensor, *args, **kwargs) -> Tensor:
        route = _ROUTE.get()
        sink = None if route is None else route.sinks.get(self.layer)
        updated = route is not None and self.layer in route.updated
        if sink is None and (self._calls_its_projections or not updated):
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
        inner: the linear layer.
        layer: where it stands.
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
        route = _ROUTE.get()
        if route is not None and self.layer in route.updated:
            for part, rows in self.parts.items():
                if (update := route.low_rank.get((self.layer, part))) is not None:
                    low = torch.bmm(x, update.down.to(x.dtype))
                    out[..., rows].baddbmm_(low.to(out.dtype), update.up.to(out.dtype))
        return out


class ReportingBlock(Tuner):
    """A block that lets the route keep what it returns, if the route keeps any."""

    def tuned(self, *args, **kwargs) -> Tensor:
        tokens = self.inner(*args, **kwargs)
        if (route := _ROUTE.get()) is not None:
            route.tokens.append(tokens)
        return tokens


def open_routes(vit: ViTFace) -> None:
    """Let each image of a batch go its own way through a backbone, which answers as before where there is no route."""
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
