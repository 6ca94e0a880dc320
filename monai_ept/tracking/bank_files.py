# SPDX-License-Identifier: Apache-2.0

"""The files of a bank: the weights of one backbone, and for each task its delta and what its images want."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from monai_ept.checks import check_choice, shown
from monai_ept.data.transforms import input_settings
from monai_ept.delta import DeltaError, read_delta
from monai_ept.model import TunedViT
from monai_ept.serving import TaskBank
from monai_ept.tracking.model_files import DELTA, copy_backbone, load_backbone, read_config, save_backbone, write_config

__all__ = ["BankTask", "check_task_name", "load_bank_files", "save_bank_files", "tasks_in"]

DELTAS = "deltas"


@dataclass(frozen=True)
class BankTask:
    """
    A task for a bank: its adapter, and what the adapter does not know.

    Args:
        delta: its delta file.
        task: "multiclass" or "multilabel".
        transforms: arguments of ``eval_transforms`` that the network does not know, such as an ``intensity_range``.
        origin: where it comes from, the run of its training say, for whoever wants to know.

    Raises:
        ValueError: for another ``task``.
    """

    delta: str | os.PathLike
    task: str = "multiclass"
    transforms: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        check_choice("task", self.task, ("multiclass", "multilabel"))


def save_bank_files(
    folder: Path, backbone: TunedViT | Path, tasks: Mapping[str, BankTask], recipe: dict[str, Any] | None = None
) -> TaskBank:
    """
    Write all that a bank needs to be built again anywhere.

    Args:
        folder: an existing, empty folder.
        backbone: a network on it, or a folder with files of a model that has it.
        recipe: how to build the backbone of a network that was given as a module, see ``save_backbone``.

    Raises:
        ValueError: when a task has a name that files cannot have, or nobody can know how to build the backbone.
        DeltaError: when a delta is damaged, or belongs to another backbone or another size of images.

    Returns:
        the bank, as ``load_bank_files`` would build it.
    """
    about = copy_backbone(backbone, folder) if isinstance(backbone, Path) else save_backbone(backbone, folder, recipe)
    bank = TaskBank(load_backbone(folder, about), img_size=about["img_size"])
    (folder / DELTAS).mkdir()
    described: dict[str, Any] = {}
    for name, task in tasks.items():
        check_task_name(name, described)
        seen = read_delta(task.delta).metadata
        if seen["img_size"] != about["img_size"]:
            raise DeltaError(
                f"task {name!r} has learnt from images of {'×'.join(map(str, seen['img_size']))}, and the bank's are "
                f"of {'×'.join(map(str, about['img_size']))}: train it at that size, or register it by itself."
            )
        added = bank.add(name, task.delta)
        shutil.copyfile(task.delta, _delta_of(folder, name))
        # What the network of this task knows, which is what its delta says.
        eyes = SimpleNamespace(**{key: seen.get(key) for key in ("img_size", "mean", "std", "in_channels")})
        eyes.interpolation, eyes.spatial_dims = seen.get("interpolation"), len(seen["img_size"])
        described[name] = {
            "class_names": seen.get("class_names"),
            "task": task.task,
            "transforms": input_settings(eyes, **task.transforms),
            "method": added.method,
            "origin": task.origin,
        }
    write_config(folder, {**about, "tasks": described})
    return bank


def load_bank_files(folder: Path) -> tuple[TaskBank, dict[str, Any]]:
    """Build a bank again, and its configuration."""
    config = read_config(folder)
    bank = TaskBank(load_backbone(folder, config), img_size=config["img_size"])
    for name in config["tasks"]:
        bank.add(check_task_name(name), _delta_of(folder, name))
    return bank, config


def tasks_in(folder: Path) -> dict[str, BankTask]:
    """The tasks in the files of a bank; of a model of one network that one, without a name."""
    config = read_config(folder)
    if "tasks" not in config:
        return {"": BankTask(folder / DELTA, config["task"], config["transforms"])}
    return {
        name: BankTask(_delta_of(folder, name), about["task"], about["transforms"], about["origin"])
        for name, about in config["tasks"].items()
    }


def check_task_name(name: Any, others: Iterable[str] = ()) -> str:
    """
    A task's name, if a request, a folder and a report can have it.

    Args:
        others: names that are taken; those of files may not differ in capitals only.

    Raises:
        ValueError: when they cannot.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w. -]{0,62}", name) or name[-1] in " .":
        raise ValueError(f"a task's name has up to 63 letters, digits, spaces and . _ -, got {shown(name)}.")
    taken = [other for other in others if other.casefold() == name.casefold()]
    if taken:
        raise ValueError(f"tasks {taken[0]!r} and {name!r} differ in capitals only: give one another name.")
    return name


def _delta_of(folder: Path, name: str) -> Path:
    return folder / DELTAS / f"{name}.safetensors"
