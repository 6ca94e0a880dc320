# SPDX-License-Identifier: Apache-2.0

"""What another network says of the images of an evaluation, which are read and moved once for both."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from monai_ept.handlers.collect_predictions import CollectPredictions, PredictionTable

__all__ = ["CollectBeside"]


class CollectBeside:
    """
    An Ignite handler that keeps the predictions of a network beside those of the engine's own.

    A network that is part of the engine's, and so has been asked already, is not asked again.

    Args:
        network: on the engine's device.
        task: "multiclass" or "multilabel".

    Example::

        beside = CollectBeside(plain, "multiclass")
        SupervisedEvaluator(..., val_handlers=[beside]).run()
        beside.table()
    """

    def __init__(self, network: nn.Module, task: str = "multiclass") -> None:
        self.network = network
        self._predictions = CollectPredictions(task)
        self._answer: Tensor | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED | Events.EXCEPTION_RAISED, self._stop)

    def table(self) -> PredictionTable:
        """The predictions, in the order in which the images came."""
        return self._predictions.table()

    def _start(self, engine: Engine) -> None:
        self._predictions.reset()
        self._hook = self.network.register_forward_hook(self._hear)

    def _stop(self, engine: Engine, *error: Exception) -> None:
        self._hook.remove()
        if error:
            raise error[0]

    def _hear(self, network: nn.Module, images: Any, answer: Tensor) -> None:
        self._answer = answer

    @torch.no_grad()
    def _collect(self, engine: Engine) -> None:
        output: Any = engine.state.output
        if self._answer is None:
            self.network(output["image"])
        batch: Any = engine.state.batch
        self._predictions.update((batch["id"], self._answer, output.get("label")))
        self._answer = None
