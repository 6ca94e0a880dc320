# SPDX-License-Identifier: Apache-2.0

"""Shows how far a training is: a bar on a terminal or in a notebook, a line for each epoch elsewhere."""

from __future__ import annotations

import math
import sys
import time
from datetime import timedelta
from typing import Any, TextIO

from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_ept.handlers.notebook_bar import NotebookBar, in_notebook
from monai_ept.handlers.step_values import epoch_loss, loss_waits, step_lr, watch_steps

__all__ = ["Progress"]


class Progress:
    """One line that says epoch, loss, learning rate, validation score and time left.

    On a terminal and in a notebook it is a bar that moves with each step; into a file or a pipe it is a line for each
    epoch. Only the first of several processes speaks.

    Args:
        evaluator: the engine that validates, whose key metric is shown.
        stream: where to; standard error by default.
    """

    def __init__(self, evaluator: Any = None, stream: TextIO | None = None) -> None:
        self.evaluator = evaluator
        self.stream = stream
        self._bar: Any = None
        self._began = 0.0
        self._first = 0
        self._hooked = False

    def attach(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            engine.add_event_handler(Events.STARTED, self._started)
            watch_steps(engine)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
            engine.add_event_handler(Events.COMPLETED, self._close)

    def _started(self, engine: Any) -> None:
        if not self._hooked:  # late, so that the epoch's validation is done before its line is written
            engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
            self._hooked = True
        self._began, self._first = time.monotonic(), -1
        self._close()

    def _epoch_started(self, engine: Any) -> None:
        state = engine.state
        if self._first < 0:  # by now a checkpoint has told where the training stands
            self._first = state.epoch - 1
            stream = self.stream or sys.stderr
            bar: dict[str, Any] = {
                "total": state.max_epochs * (state.epoch_length or 0),
                "initial": state.iteration,
                "bar_format": "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
            }
            if bar["total"] and self.stream is None and in_notebook():
                self._bar = NotebookBar(**bar)
            elif bar["total"] and stream.isatty():
                self._bar = tqdm(file=stream, dynamic_ncols=True, **bar)
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {state.epoch}/{state.max_epochs}", refresh=False)

    def _step(self, engine: Any) -> None:
        if self._bar is not None:
            if not loss_waits(engine):  # a card is not kept waiting for a bar, which tells its loss when an epoch ends
                self._bar.set_postfix_str(self._now(engine), refresh=False)
            self._bar.update()

    def _epoch(self, engine: Any) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._now(engine))
            return
        state = engine.state
        seconds = (time.monotonic() - self._began) / max(state.epoch - self._first, 1)
        left = timedelta(seconds=math.ceil(seconds * (state.max_epochs - state.epoch)))
        width = len(str(state.max_epochs))
        line = f"epoch {state.epoch:>{width}}/{state.max_epochs}  {self._now(engine)}  left {left}"
        print(line, file=self.stream or sys.stderr, flush=True)

    def _now(self, engine: Any) -> str:
        lr = step_lr(engine)
        parts = [f"loss {epoch_loss(engine):.4f}", *([] if lr is None else [f"lr {lr:.2e}"])]
        if self.evaluator is not None:
            name, metrics = self.evaluator.state.key_metric_name, self.evaluator.state.metrics
            parts += [f"val {name} {metrics[name]:.3f}"] if name in metrics else []
        return "  ".join(parts)

    def _close(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
