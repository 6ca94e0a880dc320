# SPDX-License-Identifier: Apache-2.0

"""A bank as one file of TorchScript, which holds the backbone once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_ept.data.views import test_views
from monai_ept.networks.backbone import vit_face
from monai_ept.networks.readout import POOLED, read_tokens
from monai_ept.serving import Task, TaskBank
from monai_ept.serving.routes import Route, open_routes, travel

__all__ = ["MixedTasks", "member_of", "write_bank_model"]


class MixedTasks(nn.Module):
    """Tasks of a bank that mix, as a network that can be traced: what is chosen of it is numbers and no names."""

    def __init__(self, bank: TaskBank, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.vit = vit_face(copy.deepcopy(bank.vit.module), bank.vit.img_size)
        open_routes(self.vit)
        self.backbone = self.vit.module
        self.tasks = tasks
        self.widest = max(task.num_classes for task in tasks)
        # A task that has kept its solved head answers twice.
        answers = [[task] if task.solved is None else [task, task.solved] for task in tasks]
        every = [one for several in answers for one in several]
        self.heads = nn.ModuleList(one.head for one in every)
        self.answers = [[every.index(one) for one in several] for several in answers]
        # Those that have nothing but a head go the same way.
        ways = ["" if one.head_only else one.name for one in every]
        names = list(dict.fromkeys(ways))
        self.ways = [every[ways.index(way)] for way in names]
        self.last = max(_last(task) for task in tasks)
        wanted = [[(way, view) for view in test_views(one.views)] for way, one in zip(ways, every, strict=True)]
        passes = list(dict.fromkeys(one for several in wanted for one in several))
        self.views = list(dict.fromkeys(view for _, view in passes))
        self.passes = [[passes.index(one) for one in several] for several in wanted]
        self.way_of = torch.tensor([names.index(way) for way, _ in passes])
        self.view_of = torch.tensor([self.views.index(view) for _, view in passes])
        of_tasks = [{one for answer in several for one in wanted[answer]} for several in self.answers]
        self.uses = torch.tensor([[one in several for one in passes] for several in of_tasks])

    def forward(self, images: Tensor, which: Tensor) -> Tensor:
        """
        Logits ``(images, which, classes)`` of all images for each of these tasks, filled up with zeros where a task has
        fewer classes than another; all of it goes through the backbone in one batch.

        Args:
            which: numbers of the tasks.
        """
        needed = self.uses.to(which.device)[which].any(dim=0).nonzero().squeeze(1)
        number = images.shape[0]
        seen = torch.stack([view(images, self.vit.img_size) for view in self.views])
        ways = self.way_of.to(which.device)[needed].unsqueeze(1).expand(-1, number).reshape(-1)
        with travel(Route(self.ways, ways, self.last)) as route:
            pooled = self.vit.features(seen[self.view_of.to(which.device)[needed]].flatten(0, 1))
        tokens = list(route.tokens)
        logits = []
        for task, answers in zip(self.tasks, self.answers, strict=True):
            last = _last(task)
            found = read_tokens(self.vit, tokens[-last:]) if last else pooled
            everything = found.new_zeros(len(self.way_of), number, found.shape[-1])
            everything = everything.index_copy(0, needed, found.reshape(-1, number, found.shape[-1]))
            means = [self.heads[answer](everything[self.passes[answer]]).mean(dim=0) for answer in answers]
            said = torch.stack(means).mean(dim=0) / task.temperature
            logits.append(F.pad(said, (0, self.widest - task.num_classes)))
        return torch.stack(logits, dim=1)[:, which]


class _OneTask(nn.Module):
    """One of the tasks that mix, as a network of its own."""

    def __init__(self, mixed: nn.Module, number: int, num_classes: int) -> None:
        super().__init__()
        self.mixed, self.number, self.num_classes = mixed, number, num_classes

    def forward(self, images: Tensor) -> Tensor:
        which = torch.full((1,), self.number, dtype=torch.long, device=images.device)
        return self.mixed(images, which)[:, 0, : self.num_classes]


class _AllTasks(nn.Module):
    """What is written: the tasks that mix, by their numbers, and each task as a network."""

    def __init__(self, mixed: nn.Module, tasks: dict[str, nn.Module]) -> None:
        super().__init__()
        self.mixed = mixed
        self.tasks = nn.ModuleDict(tasks)

    def forward(self, images: Tensor, which: Tensor) -> Tensor:
        return self.mixed(images, which)


def write_bank_model(bank: TaskBank, path: Path) -> dict[str, int]:
    """
    Write a bank as TorchScript.

    Raises:
        ValueError: when none of its tasks mix.

    Returns:
        the numbers of the tasks that mix, by name.
    """
    mixing = [task for task in map(bank.task, bank.tasks) if task.mixes]
    if not mixing:
        raise ValueError(
            f"no task of this bank can share a pass through the backbone with another ({', '.join(bank.tasks)}): ship "
            "each by itself."
        )
    numbers = {task.name: number for number, task in enumerate(mixing)}
    example = torch.zeros(2, bank.vit.in_channels, *bank.vit.img_size, device=bank.device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about constants of timm's, and about exporters that will be replaced
        which = torch.arange(len(mixing), device=bank.device)
        mixed = torch.jit.trace(MixedTasks(bank, mixing).eval(), (example, which), check_trace=False)
        members: dict[str, nn.Module] = {}
        for name in bank.tasks:
            task = bank.task(name)
            if task.network is None:
                members[member_of(bank, name)] = _OneTask(mixed, numbers[name], task.num_classes)
            else:
                members[member_of(bank, name)] = torch.jit.trace(task.network, example[:1], check_trace=False)
        torch.jit.save(torch.jit.script(_AllTasks(mixed, members).eval()), str(path))
    return numbers


def member_of(bank: TaskBank, name: str) -> str:
    """How a task is called in the file, where names are those of attributes."""
    return f"task{bank.tasks.index(name)}"


def _last(task: Task) -> int:
    """How many of the last blocks a task's head reads."""
    return 0 if task.readout == POOLED else int(task.readout)
