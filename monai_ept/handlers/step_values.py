# SPDX-License-Identifier: Apache-2.0

"""Loss and learning rate of the step that a trainer is at: the same for history, progress and MLflow.

To read a number from a card, the processor waits until the card has come there, and has nothing ready for it to do
next. So losses stay where they are within an epoch, and are read together when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

__all__ = [
    "MeanLoss",
    "epoch_loss",
    "epoch_losses",
    "loss_of_step",
    "loss_waits",
    "single_number",
    "step_loss",
    "step_lr",
    "waits",
    "watch_steps",
]


def step_loss(engine: Any) -> float | None:
    """The loss that a trainer puts out: in MONAI's dictionary, in one for each image after decollating, or by itself.

    Returns:
        the loss, or None when the output holds no single number for it.
    """
    return single_number(loss_of_step(engine))


def loss_waits(engine: Any) -> bool:
    """Whether the loss is on a card, and reading it would make the processor wait."""
    return waits(loss_of_step(engine))


def waits(value: Any) -> bool:
    """Whether reading a value would make the processor wait for a card."""
    return isinstance(value, torch.Tensor) and value.device.type != "cpu"


def loss_of_step(engine: Any) -> Any:
    """The loss as it is put out, which may still be on a card."""
    output = engine.state.output
    if isinstance(output, Sequence) and not isinstance(output, str) and output:
        output = output[0]
    return output.get("loss") if isinstance(output, Mapping) else output


def watch_steps(engine: Engine) -> None:
    """Let ``step_lr`` and ``epoch_loss`` know the steps of a trainer; once is enough, and twice does no harm."""
    if not engine.has_event_handler(_keep_lr, Events.ITERATION_STARTED):
        # Not at the end of the step: by then the schedule has gone on to the next.
        engine.add_event_handler(Events.ITERATION_STARTED, _keep_lr)
        engine.add_event_handler(Events.EPOCH_STARTED, _begin_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, _keep_loss)


def epoch_loss(engine: Any) -> float:
    """Mean loss of the steps of this epoch so far; 0 without any."""
    losses = epoch_losses(engine)
    return sum(losses) / max(len(losses), 1)


def epoch_losses(engine: Any) -> list[float]:
    """The losses of the steps of this epoch so far, read from a card in one go."""
    losses = engine.state.epoch_losses
    unread = [index for index, loss in enumerate(losses) if isinstance(loss, torch.Tensor)]
    if unread:
        read = torch.stack([losses[index].float().reshape(()) for index in unread]).tolist()
        for index, loss in zip(unread, read, strict=True):
            losses[index] = loss
    return losses


def step_lr(engine: Any) -> float | None:
    """The base learning rate that the step is made with: not scaled for a method.

    Returns:
        the learning rate, or None when the trainer has no optimizer or has not made a step yet.
    """
    return getattr(engine.state, "step_lr", None)


def _keep_lr(engine: Any) -> None:
    optimizer = getattr(engine, "optimizer", None)
    if optimizer is not None:
        engine.state.step_lr = float(optimizer.param_groups[-1]["lr"])  # the head's, which stands last and has no scale


def _begin_epoch(engine: Any) -> None:
    engine.state.epoch_losses = []


def _keep_loss(engine: Any) -> None:
    loss = loss_of_step(engine)
    loss = loss.detach() if waits(loss) else single_number(loss)
    if loss is not None:
        engine.state.epoch_losses.append(loss)


def single_number(value: Any) -> float | None:
    """A number, or what holds exactly one; None for anything else."""
    if isinstance(value, (int, float)):
        return float(value)
    if getattr(value, "size", None) == 1 or (isinstance(value, torch.Tensor) and value.numel() == 1):
        return float(value.item())
    return None


class MeanLoss:
    """Makes the loss of a step the mean of all processes, which that of one with all their images is."""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if torch.distributed.is_initialized():
            loss = engine.state.output["loss"].detach().clone()
            torch.distributed.all_reduce(loss)
            engine.state.output["loss"] = loss / torch.distributed.get_world_size()
