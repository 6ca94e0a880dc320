# SPDX-License-Identifier: Apache-2.0

"""A loss or gradient that is no number ends a training before it reaches the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents

from monai_ept.handlers.delta_checkpoint import last_good_state
from monai_ept.handlers.step_values import step_loss

__all__ = ["NanGuard", "NonFiniteError"]


class NonFiniteError(FloatingPointError):
    """A loss or gradient that is NaN or infinite, and where it appeared."""


class NanGuard:
    """Stops the training before a loss or gradient that is no number reaches the weights.

    The loss is looked at before the backward pass, and the gradients before the optimizer's step, so that the network
    in memory is still the last good one. With a gradient scaler (mixed precision) gradients may overflow, which it
    handles by itself, and only the loss is looked at.

    Raises:
        NonFiniteError: naming epoch, step and images.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.check_gradients)

    def check_loss(self, engine: Any) -> None:
        loss = step_loss(engine)
        if loss is not None and not math.isfinite(loss):
            self._stop(engine, f"the loss is {loss}")

    def check_gradients(self, engine: Any) -> None:
        if getattr(engine, "scaler", None) is not None:
            return
        gradients = [
            param.grad for group in engine.optimizer.param_groups for param in group["params"] if param.grad is not None
        ]
        if gradients and not torch.isfinite(torch.stack([gradient.sum() for gradient in gradients]).sum()):
            self._stop(engine, "a gradient is NaN or infinite")

    def _stop(self, engine: Any, what: str) -> None:
        state = engine.state
        ids = state.batch.get("id") if isinstance(state.batch, dict) else None
        images = f" (images {', '.join(map(str, ids[:8]))})" if isinstance(ids, (list, tuple)) else ""
        raise NonFiniteError(
            f"{what} in epoch {state.epoch}, step {state.iteration}{images}: lower the learning rate or clip the "
            f"gradients; {last_good_state(engine)}"
        )
