# SPDX-License-Identifier: Apache-2.0

"""The optimizer of what a network trains, and its learning rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from monai_ept.checks import check_choice, check_number, check_whole
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["OPTIMIZERS", "cosine_schedule", "default_lr", "default_weight_decay", "make_optimizer"]

OPTIMIZERS = ("sgd", "adamw")


def make_optimizer(
    network: nn.Module,
    name: str = "sgd",
    lr: float = 6e-4,
    *,
    head_lr: float | None = None,
    momentum: float = 0.9,
    weight_decay: float | None = None,
) -> Optimizer:
    """
    The optimizer of what a network trains, each group with the learning rate that its method wants.

    Args:
        network: a ``TunedViT``, or one inside ``DistributedDataParallel``.
        name: "sgd", as in the paper, or "adamw".
        lr: base learning rate; the paper's is 6e-4, for SGD.
        head_lr: learning rate of the head; by default ``lr``.
        momentum: of SGD.
        weight_decay: 1e-4 for SGD, as in the paper's code, and 0.01 for AdamW, by default.

    Raises:
        ValueError: when an argument is out of range.

    Example::

        >>> optimizer = make_optimizer(net, "adamw", lr=3e-3)
    """
    check_choice("optimizer", name, OPTIMIZERS)
    check_number("lr", lr, above=0)
    check_number("momentum", momentum, least=0, below=1)
    if weight_decay is None:
        weight_decay = default_weight_decay(name)
    check_number("weight_decay", weight_decay, least=0)
    groups = unwrap(network).trainable_parameters(lr=lr)
    if head_lr is not None:
        check_number("head_lr", head_lr, above=0)
        groups[-1]["lr"] = head_lr  # the head comes last
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)


def default_lr(network: nn.Module, optimizer: str, *, solved: bool = False) -> float:
    """
    The base learning rate where nobody says another: 6e-4 for SGD, as in the paper; for AdamW what suits the methods.

    Args:
        network: a ``TunedViT``.
        optimizer: "sgd" or "adamw".
        solved: whether the head is a solved one, which training refines and does not have to find.

    Example::

        >>> default_lr(TunedViT("vit_tiny_patch16_224", 7, method="lora"), "adamw")
        0.003
    """
    if optimizer == "sgd":
        return 6e-4
    return min(method.solved_lr if solved else method.adamw_lr for method in unwrap(network).methods)


def default_weight_decay(optimizer: str) -> float:
    """1e-4 for SGD, as in the paper's code; 0.01 for AdamW, as torch has it."""
    return 1e-4 if optimizer == "sgd" else 1e-2


def cosine_schedule(optimizer: Optimizer, steps: int, *, warmup_steps: int = 0, last: float = 0.0) -> LambdaLR:
    """
    Learning rate that falls from its full value to ``last`` of it along half a cosine, one step at a time.

    Each value comes from the number of the step and not from the value before, so that a resumed schedule is equal to
    one that was never interrupted. Step it after each optimizer step:
    ``monai.handlers.LrScheduleHandler(schedule, print_lr=False, epoch_level=False)``.

    Args:
        optimizer: the optimizer.
        steps: number of optimizer steps of the whole training, epochs times batches.
        warmup_steps: steps in which it climbs from zero first, part of ``steps``.
        last: share of the learning rate that is left at the end.

    Raises:
        ValueError: when an argument is out of range.
    """
    check_whole("steps", steps)
    check_whole("warmup_steps", warmup_steps, least=0)
    check_number("last", last, least=0)
    if warmup_steps >= steps:
        raise ValueError(f"warmup_steps is {warmup_steps} of {steps} steps: leave some for the training itself.")

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        done = min(1.0, (step - warmup_steps) / (steps - warmup_steps))
        return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, share)
