# SPDX-License-Identifier: Apache-2.0

"""A loss or gradient that is no number ends a training before it reaches the weights, or what is written of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from monai_ept.handlers.delta_checkpoint import last_good_state
from monai_ept.handlers.step_values import loss_of_step, single_number, waits

__all__ = ["NanGuard", "NonFiniteError"]


class NonFiniteError(FloatingPointError):
    """A loss or gradient that is NaN or infinite, and where it appeared."""


class NanGuard:
    """Stops the training before a loss or gradient that is no number reaches the weights.

    The loss is looked at before the backward pass, and the gradients before the optimizer's step, so that the network
    in memory is still the last good one. On a card, which does not wait to be looked at, the steps of an epoch are
    looked at when it ends, before anything of it is written: what is on disk is the last good state, and the network in
    memory is not. With a gradient scaler (mixed precision) gradients may overflow, which it handles by itself, and only
    the loss is looked at.

    Raises:
        NonFiniteError: naming epoch, step and images.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[torch.Tensor, str, int, str]] = []  # of this epoch, on a card

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.check_gradients)
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self._seen.clear())
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_epoch)

    def check_loss(self, engine: Any) -> None:
        loss = loss_of_step(engine)
        if waits(loss):
            self._look_later(engine, loss, "the loss is NaN or infinite")
            return
        number = single_number(loss)
        if number is not None and not math.isfinite(number):
            self._stop(engine, f"the loss is {number}", engine.state.iteration, _images(engine))

    def check_gradients(self, engine: Any) -> None:
        if getattr(engine, "scaler", None) is not None:
            return
        gradients = [
            param.grad for group in engine.optimizer.param_groups for param in group["params"] if param.grad is not None
        ]
        if not gradients:
            return
        total = torch.stack([gradient.sum() for gradient in gradients]).sum()
        if waits(total):
            self._look_later(engine, total, "a gradient is NaN or infinite")
        elif not torch.isfinite(total):
            self._stop(engine, "a gradient is NaN or infinite", engine.state.iteration, _images(engine))

    def check_epoch(self, engine: Any) -> None:
        """Look at what the steps of this epoch have left on a card."""
        if not self._seen:
            return
        good = torch.stack([value.isfinite().all() for value, *_ in self._seen]).tolist()
        for (_, what, step, images), is_good in zip(self._seen, good, strict=True):
            if not is_good:
                self._stop(engine, what, step, images)

    def _look_later(self, engine: Any, value: torch.Tensor, what: str) -> None:
        self._seen.append((value.detach(), what, engine.state.iteration, _images(engine)))

    def _stop(self, engine: Any, what: str, step: int, images: str) -> None:
        raise NonFiniteError(
            f"{what} in epoch {engine.state.epoch}, step {step}{images}: lower the learning rate or clip the "
            f"gradients; {last_good_state(engine)}"
        )


def _images(engine: Any) -> str:
    batch = engine.state.batch
    ids = batch.get("id") if isinstance(batch, dict) else None
    return f" (images {', '.join(map(str, ids[:8]))})" if isinstance(ids, (list, tuple)) else ""
