# SPDX-License-Identifier: Apache-2.0

"""The trainer: MONAI's ``SupervisedTrainer`` with the handlers that make a few-shot training one can rely on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from torch import nn
from torch.optim import Optimizer

from monai_ept.handlers.clip_gradients import ClipGradients
from monai_ept.handlers.delta_checkpoint import DeltaCheckpoint
from monai_ept.handlers.epoch_history import EpochHistory
from monai_ept.handlers.nan_guard import NanGuard
from monai_ept.handlers.progress import Progress
from monai_ept.handlers.seed_each_epoch import SeedEachEpoch
from monai_ept.networks.precision import at_precision

__all__ = ["build_trainer"]


def build_trainer(
    network: nn.Module,
    data_loader: Iterable,
    *,
    epochs: int,
    optimizer: Optimizer,
    loss_function: nn.Module,
    scheduler: Any = None,
    device: str | torch.device = "cpu",
    amp: str = "auto",
    max_norm: float | None = None,
    seed: int = 0,
    evaluator: Any = None,
    val_interval: int = 1,
    checkpoint: DeltaCheckpoint | None = None,
    progress: bool = True,
    handlers: Sequence[Any] = (),
    **kwargs: Any,
) -> SupervisedTrainer:
    """
    A trainer with everything attached.

    Args:
        network: what to train, on ``device`` already.
        data_loader: training batches, dictionaries with "image" and "label".
        epochs: number of epochs.
        optimizer: from ``make_optimizer``, or any other.
        loss_function: from ``make_loss``, or any other.
        scheduler: learning rate schedule, stepped after each step; from ``cosine_schedule``, or any other.
        device: where to train.
        amp: "auto", "bfloat16", "float16" or "off", see ``at_precision``.
        max_norm: clip gradients to this norm.
        seed: each epoch's random numbers follow from this.
        evaluator: run after every ``val_interval`` epochs and after the last.
        val_interval: epochs between validations.
        checkpoint: writes checkpoints, and resumes.
        progress: show it.
        handlers: more handlers, attached after these; those that close a record when training fails belong here.
        kwargs: more arguments of ``monai.engines.SupervisedTrainer``.

    Returns:
        the trainer; ``trainer.run()`` trains, and ``trainer.state.history`` says how it went.
    """
    attached: list[Any] = [SeedEachEpoch(seed), NanGuard()]
    if max_norm is not None:
        attached.append(ClipGradients(max_norm))
    if scheduler is not None:
        attached.append(LrScheduleHandler(scheduler, print_lr=False, epoch_level=False))
    attached.append(EpochHistory(evaluator))
    if evaluator is not None:
        attached.append(ValidationHandler(val_interval, evaluator))
    if checkpoint is not None:
        attached.append(checkpoint)
    if progress:
        attached.append(Progress(evaluator))
    network, precision = at_precision(network, device, amp)
    on_card = torch.device(device).type == "cuda"
    settings = {"decollate": False, "optim_set_to_none": True, "non_blocking": on_card, **precision, **kwargs}
    return SupervisedTrainer(
        device=torch.device(device),
        max_epochs=epochs,
        train_data_loader=data_loader,
        network=network,
        optimizer=optimizer,
        loss_function=loss_function,
        train_handlers=[*attached, *handlers],
        **settings,
    )
