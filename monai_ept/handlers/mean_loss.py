# SPDX-License-Identifier: Apache-2.0

"""The loss of a step that several processes share."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from torch import distributed

__all__ = ["MeanLoss"]


class MeanLoss:
    """An Ignite handler that reports the mean loss of all processes, which that of one with all their images is."""

    def attach(self, engine: Engine) -> None:
        from monai.engines.utils import IterationEvents

        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if distributed.is_initialized():
            loss = engine.state.output["loss"].detach().clone()
            distributed.all_reduce(loss)
            engine.state.output["loss"] = loss / distributed.get_world_size()
