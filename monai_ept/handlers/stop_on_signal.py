# SPDX-License-Identifier: Apache-2.0

"""SIGTERM and Ctrl-C become an orderly end of a training."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from ignite.engine import Engine, Events

from monai_ept.handlers.delta_checkpoint import last_good_state

__all__ = ["StopOnSignal", "TrainingStopped"]


class TrainingStopped(KeyboardInterrupt):
    """The training was told to stop, by SIGTERM or Ctrl-C; a ``KeyboardInterrupt``, so that nothing swallows it."""


class StopOnSignal:
    """Turns SIGTERM and Ctrl-C into an orderly end: :py:class:`TrainingStopped`, after the step that is under way.

    A second signal does not wait for the step; the checkpoint on disk stays whole either way. Attached to a trainer, it
    works from the start of the training to the end of the process, so that the evaluation and the record that follow
    are covered too. As a context it puts the old handlers back. Outside of the main thread, where Python allows no
    signal handlers, it does nothing.

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
        raise TrainingStopped(f"stopped by {_name(number)}{where}; {last_good_state(engine)}")


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
