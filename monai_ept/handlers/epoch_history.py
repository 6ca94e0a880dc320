# SPDX-License-Identifier: Apache-2.0

"""What happened in each epoch, kept on the trainer and in its checkpoints."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from monai_ept.handlers.step_values import epoch_loss, step_lr, watch_steps

__all__ = ["EpochHistory"]


class EpochHistory:
    """
    Keeps ``engine.state.history``: for each epoch its number, mean loss, the base learning rate of its last step, and
    validation metrics.

    A checkpoint holds it, so that a resumed training has all of its epochs.

    Args:
        evaluator: the engine that validates during training, if there is one.

    Example::

        trainer.state.history  # [{"epoch": 1, "loss": 1.93, "lr": 5.9e-4, "val": {"accuracy": 0.4, …}}, …]
    """

    def __init__(self, evaluator: Any = None) -> None:
        self.evaluator = evaluator
        self._validated: tuple[int, dict[str, float]] | None = None
        self._trainer: Any = None

    def attach(self, engine: Engine) -> None:
        self._trainer = engine
        engine.add_event_handler(Events.STARTED, self._started)
        watch_steps(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._evaluated)

    def _started(self, engine: Any) -> None:
        if engine.state.epoch == 0 or not hasattr(engine.state, "history"):  # else a checkpoint has brought it
            engine.state.history = []

    def _epoch(self, engine: Any) -> None:
        row: dict[str, Any] = {"epoch": engine.state.epoch, "loss": epoch_loss(engine), "lr": step_lr(engine)}
        if self._validated is not None and self._validated[0] == engine.state.epoch:
            row["val"] = self._validated[1]
        engine.state.history.append(row)

    def _evaluated(self, evaluator: Any) -> None:
        epoch = self._trainer.state.epoch
        metrics = {k: float(v) for k, v in evaluator.state.metrics.items() if isinstance(v, (int, float))}
        self._validated = (epoch, metrics)
        history = getattr(self._trainer.state, "history", [])
        if history and history[-1]["epoch"] == epoch:  # validated after the row was written
            history[-1]["val"] = metrics
