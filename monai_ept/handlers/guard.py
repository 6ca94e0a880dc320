# SPDX-License-Identifier: Apache-2.0

"""Ends of a training that nobody wants, made harmless: a loss that is no number, SIGTERM and Ctrl-C."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from monai_ept.handlers.loss import step_loss

__all__ = ["NanGuard", "NonFiniteError", "StopOnSignal", "TrainingStopped", "describe_checkpoint"]


class NonFiniteError(FloatingPointError):
    """A loss or gradient that is NaN or infinite, and where it appeared."""


class TrainingStopped(KeyboardInterrupt):
    """The training was told to stop, by SIGTERM or Ctrl-C; a ``KeyboardInterrupt``, so that nothing swallows it."""


def describe_checkpoint(engine: Any) -> str:
    """What is left of a training that ends early, for its last message."""
    written = getattr(engine.state, "last_checkpoint", None) if engine is not None else None
    if written is None:
        return "no checkpoint was written yet."
    path, epoch = written
    return f"the last good state is {path} (epoch {epoch}): the same command with resume goes on from there."


class NanGuard:
    """
    Stops the training before a loss or gradient that is no number reaches the weights.

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
        if not math.isfinite(loss):
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
            f"gradients; {describe_checkpoint(engine)}"
        )


class StopOnSignal:
    """
    Turns SIGTERM and Ctrl-C into an orderly end: :py:class:`TrainingStopped`, after the step that is under way.

    A second signal does not wait for the step. The checkpoint on disk stays whole either way, since it is written
    aside and then moved. Attached to a trainer, it works from the start of the training to the end of the process, so
    that the evaluation and the record that follow are covered too. As a context it puts the old handlers back.
    Outside of the main thread, where Python allows no signal handlers, it does nothing.

    Args:
        signals: the signals to handle.

    Example::

        with StopOnSignal() as stop:
            stop.attach(trainer)
            trainer.run()
    """

    def __init__(self, signals: Sequence[int] = (signal.SIGTERM, signal.SIGINT)) -> None:
        self.signals = tuple(signals)
        self.received: int | None = None
        self._engine: Any = None
        self._in_step = False
        self._process = os.getpid()
        self._previous: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        self._engine = engine
        engine.add_event_handler(Events.STARTED, self.install)
        engine.add_event_handler(Events.ITERATION_STARTED, self._step_begins)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step_ends)

    def install(self, *_: Any) -> None:
        """Take the signals over; once is enough."""
        self._in_step = False
        if self._previous or threading.current_thread() is not threading.main_thread():
            return
        self._process = os.getpid()
        self._previous = {number: signal.signal(number, self._handle) for number in self.signals}

    def restore(self) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def __enter__(self) -> StopOnSignal:
        self.install()
        return self

    def __exit__(self, *_: Any) -> None:
        self.restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that was forked from us: its parent says what there is to say
            raise KeyboardInterrupt
        first, self.received = self.received is None, number
        if first and self._in_step:
            os.write(2, f"\n{_name(number)}: stopping after this step, once more stops at once.\n".encode())
            return
        self._stop()

    def _step_begins(self, engine: Any) -> None:
        self._in_step = True

    def _step_ends(self, engine: Any) -> None:
        self._in_step = False
        if self.received is not None:
            self._stop()

    def _stop(self) -> None:
        number, self._in_step = self.received, False
        assert number is not None
        self.received = None  # whoever catches this and trains again, can be stopped again
        engine = self._engine
        where = ""
        if engine is not None and engine.state.epoch:
            where = f" in epoch {engine.state.epoch} of {engine.state.max_epochs}, step {engine.state.iteration}"
        raise TrainingStopped(f"stopped by {_name(number)}{where}; {describe_checkpoint(engine)}")


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
