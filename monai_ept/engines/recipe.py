# SPDX-License-Identifier: Apache-2.0

"""What a training is made of besides network and data: optimizer, schedule, loss, class weights, precision.

Plain functions with plain arguments, so that a configuration file can name each by ``_target_`` and replace any.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from monai_ept.checks import check_choice, check_number, check_whole
from monai_ept.data.records import Record
from monai_ept.networks.unwrap_network import unwrap

__all__ = [
    "amp_settings",
    "at_precision",
    "autocast",
    "class_weights",
    "cosine_schedule",
    "default_weight_decay",
    "make_loss",
    "make_optimizer",
    "method_of",
    "optimizer_settings",
    "task_of",
]

OPTIMIZERS = ("sgd", "adamw")
RECIPES = {"default": "adamw", "paper": "sgd"}
"""Optimizers of the recipes; learning rates and how prompts start follow."""
MOVING_PROMPTS = {"start": 0.0, "prompt_lr_scale": 30.0}
"""Settings of ``ept`` by default: the paper's start lost up to .08 on one data set and gained up to .06 on another, see
docs/results.md."""
OWN_START = {"start", "prompt_init", "embed"}  # whoever sets one of these has chosen where prompts start
PRECISIONS = ("auto", "bfloat16", "float16", "off")


def make_optimizer(
    network: nn.Module,
    name: str = "sgd",
    lr: float = 6e-4,
    *,
    momentum: float = 0.9,
    weight_decay: float | None = None,
) -> Optimizer:
    """
    The optimizer of what a network trains, each group with the learning rate that its method wants.

    Args:
        network: a ``TunedViT``, or one inside ``DistributedDataParallel``.
        name: "sgd", as in the paper, or "adamw".
        lr: base learning rate; the paper's is 6e-4, for SGD.
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
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)


def optimizer_settings(
    network: nn.Module, recipe: str = "default", optimizer: str | None = None, lr: float | None = None
) -> tuple[str, float]:
    """
    Optimizer and base learning rate of a recipe, or those that somebody asks for instead.

    Args:
        network: a ``TunedViT``, or one inside ``DistributedDataParallel``.
        recipe: "default", AdamW with a learning rate that suits the methods; or "paper", SGD with 6e-4 for all.
        optimizer: "sgd" or "adamw" instead of the recipe's.
        lr: a learning rate instead of the optimizer's.

    Raises:
        ValueError: for an unknown name.

    Example::

        >>> optimizer_settings(TunedViT("vit_tiny_patch16_224", 7, method="lora"))
        ('adamw', 0.003)
    """
    check_choice("recipe", recipe, tuple(RECIPES))
    name = check_choice("optimizer", RECIPES[recipe] if optimizer is None else optimizer, OPTIMIZERS)
    if lr is None:
        lr = 6e-4 if name == "sgd" else min(method.adamw_lr for method in unwrap(network).methods)
    return name, check_number("lr", lr, above=0)


def method_of(method: Any, recipe: str = "default") -> Any:
    """
    A method, or a list of them, with the settings that a recipe has for it and nobody has chosen.

    Args:
        method: as ``TunedViT`` takes it: a name, a mapping, a ``Method``, or a list of these.
        recipe: "default", where the prompts of ``ept`` start at c = 0 and learn thirty times as fast as the head unless
            ``start``, ``prompt_init`` or ``embed`` is set; or "paper", which changes nothing.

    Raises:
        ValueError: for an unknown recipe.

    Example::

        >>> method_of(["ept", "ln"])
        [{'start': 0.0, 'prompt_lr_scale': 30.0, 'name': 'ept'}, 'ln']
    """
    check_choice("recipe", recipe, tuple(RECIPES))
    if recipe == "paper":
        return method
    if isinstance(method, list | tuple):
        return [method_of(one, recipe) for one in method]
    said = {"name": method} if isinstance(method, str) else method
    if isinstance(said, Mapping) and said.get("name") == "ept" and not said.keys() & OWN_START:
        return {**MOVING_PROMPTS, **said}
    return method


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


def task_of(records: Sequence[Record]) -> str:
    """Read the task from the labels: "multilabel" where they are lists of 0/1, else "multiclass".

    Raises:
        ValueError: when there are no records.
    """
    if not records:
        raise ValueError("there is no record to train on: check the split.")
    label = records[0]["label"]
    return "multilabel" if getattr(label, "ndim", 0) == 1 or isinstance(label, (list, tuple)) else "multiclass"


def class_weights(records: Sequence[Record], num_classes: int, *, largest: float = 100.0) -> Tensor:
    """
    Weights that let every class count alike in an imbalanced training set, for :py:func:`make_loss`.

    Multi-class: a class weighs in inverse proportion to its images, and the mean over images is 1. Multi-label: the
    positives of a label weigh as much as its negatives together.

    Args:
        records: the training records.
        num_classes: number of classes.
        largest: no weight is larger than this; a label with one positive among thousands would drown all others.

    Returns:
        one weight per class; 1 for a class without any image.
    """
    total = len(records)
    if task_of(records) == "multilabel":
        labels = torch.tensor([[int(value) for value in record["label"]] for record in records], dtype=torch.float64)
        positive = labels.sum(0)
        weights = torch.where(positive > 0, (total - positive) / positive.clamp(min=1), torch.ones_like(positive))
        # A label that all images carry has no negatives to be as heavy as.
        weights = torch.where(positive == total, torch.ones_like(weights), weights)
    else:
        counts = Counter(int(record["label"]) for record in records)
        weights = torch.tensor(
            [total / (len(counts) * counts[index]) if counts[index] else 1.0 for index in range(num_classes)],
            dtype=torch.float64,
        )
    return weights.clamp(max=largest).float()


def make_loss(task: str = "multiclass", weights: Tensor | Sequence[float] | None = None) -> nn.Module:
    """
    Cross entropy for one class per image, binary cross entropy for labels that go together; both on logits.

    The loss comes unreduced and the trainer takes its mean: then class weights work within a batch of one class too
    (torch's own mean divides by the weights of the batch), and several processes with small batches agree with one
    that has them all.

    Args:
        task: "multiclass" or "multilabel".
        weights: one weight per class, see :py:func:`class_weights`.

    Raises:
        ValueError: for an unknown task.
    """
    check_choice("task", task, ("multiclass", "multilabel"))
    tensor = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    if task == "multiclass":
        return nn.CrossEntropyLoss(weight=tensor, reduction="none")
    return nn.BCEWithLogitsLoss(pos_weight=tensor, reduction="none")


def amp_settings(device: str | torch.device, precision: str = "auto") -> dict[str, Any]:
    """
    Mixed precision as MONAI's engines take it: ``SupervisedTrainer(..., **amp_settings(device))``.

    What is trained stays float32 always; only the computation is done in half precision. On a CPU nothing is, since
    results there must not change by a bit.

    Args:
        device: where training runs.
        precision: "auto" takes bfloat16 on a CUDA card that has it and float16 on one that has not; "bfloat16",
            "float16" or "off" decide by name.

    Raises:
        ValueError: for an unknown precision, or half precision by name on a device other than CUDA.

    Returns:
        ``{"amp": bool, "amp_kwargs": dict}``.
    """
    check_choice("amp", precision, PRECISIONS)
    kind = torch.device(device).type
    if precision in ("bfloat16", "float16") and kind != "cuda":
        raise ValueError(f"amp {precision!r} is for CUDA cards and the device is {kind!r}: leave amp at 'auto'.")
    if precision == "off" or kind != "cuda":
        return {"amp": False, "amp_kwargs": {}}
    if precision == "auto":
        # Not is_bf16_supported(), which counts cards that emulate it slowly.
        precision = "bfloat16" if torch.cuda.get_device_capability(torch.device(device))[0] >= 8 else "float16"
    return {"amp": True, "amp_kwargs": {"dtype": getattr(torch, precision)}}


def at_precision(network: nn.Module, device: str | torch.device, precision: str) -> tuple[nn.Module, dict[str, Any]]:
    """
    A network and ``amp_settings`` for an engine that computes at a precision, which may be bfloat16 on a CPU too.

    Args:
        network: what the engine calls.
        device: where it runs.
        precision: as in ``amp_settings``, and "bfloat16" on a CPU: faster if it has instructions for it
            (``avx512_bf16`` or ``amx_bf16`` in Linux's ``/proc/cpuinfo``), slower if it has not.
    """
    if precision == "bfloat16" and torch.device(device).type == "cpu":
        return HalfOnCPU(network), amp_settings(device, "off")
    return network, amp_settings(device, precision)


def autocast(device: str | torch.device, precision: str) -> torch.autocast:
    """The context of ``at_precision`` for whoever computes without an engine."""
    kind = torch.device(device).type
    if kind == "cpu":
        return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")
    settings = amp_settings(device, precision)
    return torch.autocast(kind, enabled=settings["amp"], **settings["amp_kwargs"])


class HalfOnCPU(nn.Module):
    """
    A network computed in bfloat16 on a CPU; MONAI's engines open autocast for CUDA cards only.

    Args:
        network: what is computed; its parameters stay float32, and so does what it returns.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        with autocast("cpu", "bfloat16"):
            return self.network(*args, **kwargs).float()
