# SPDX-License-Identifier: Apache-2.0

"""What a bank is made of: finished trainings, registered models, and deltas, all on one backbone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_ept.files import usable_folder
from monai_ept.model import TunedViT
from monai_ept.runs.build_network import backbone_recipe
from monai_ept.runs.find_run import finished_run
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.folder_exchange import beside, real_folder
from monai_ept.serving import TaskBank
from monai_ept.tracking.bank_files import BankTask, check_task_name, save_bank_files, tasks_in
from monai_ept.tracking.bank_registry import download_model

__all__ = ["write_bank"]


def write_bank(
    folder: str | os.PathLike,
    sources: Mapping[str, Any],
    *,
    base: str | None = None,
    pretrained: Any = None,
    tracking_uri: str | None = None,
) -> TaskBank:
    """
    Write the files of a bank: the weights of the backbone once, and the delta of each task.

    Args:
        folder: where to, an empty folder or none.
        sources: for the name of each task its training (folder, id of its run, or ``FitResult``), a registered model
            (``models:/derm-ept@newest``, or a bank that has a task of this name), or a ``BankTask``.
        base: a registered bank, whose tasks are taken over; those of ``sources`` replace its own of the same name.
        pretrained: weights of the backbone, where they are not where the first training read them.
        tracking_uri: the store of registered models, and of runs that are named by their id.

    Raises:
        FileExistsError: when there is something in the folder.
        FileNotFoundError: when there is no such training or model.
        ValueError: when there are no tasks, or a name cannot be one.
        DeltaError: when a task has another backbone, or another size of images, than the first.

    Returns:
        the bank.
    """
    folder = real_folder(Path(folder))
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a folder that is not there yet.")
    for index, name in enumerate(sources):
        check_task_name(name, list(sources)[:index])
    tasks: dict[str, BankTask] = {}
    backbone: TunedViT | Path | None = None
    recipe = None
    with tempfile.TemporaryDirectory() as place:
        if base is not None:
            backbone = download_model(base, Path(place) / "base", tracking_uri=tracking_uri)
            tasks = tasks_in(backbone)
            if "" in tasks:
                raise ValueError(f"{base} is a model of one network and no bank: name it as the source of a task.")
        for name, source in sources.items():
            there = Path(place) / str(len(tasks))
            if isinstance(source, BankTask):
                tasks[name] = source
                backbone = backbone or TunedViT.from_delta(source.delta, pretrained=pretrained or False)
            elif str(source).startswith("models:/"):
                found = download_model(str(source), there, tracking_uri=tracking_uri)
                tasks[name] = _task_of(found, name, source)
                backbone = backbone or found
            else:
                training, run_id = _training(source, there, tracking_uri)
                origin = run_id or training.run_id or ""
                tasks[name] = BankTask(training.delta_path, training.task, training.transform_settings, origin)
                if backbone is None:
                    backbone = training.network(pretrained)
                    recipe = backbone_recipe(backbone, training.record["network"] or {})
        if backbone is None:
            raise ValueError("a bank needs a task at least: name trainings or registered models.")
        new = beside(folder)[0]  # a bank is there as a whole, or not at all
        shutil.rmtree(new, ignore_errors=True)
        try:
            bank = save_bank_files(usable_folder(new), backbone, tasks, recipe)
            new.replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return bank


def _training(source: Any, place: Path, tracking_uri: str | None) -> tuple[FitResult, str | None]:
    if isinstance(source, FitResult):
        return source, None
    if Path(source).is_file():
        raise ValueError(
            f"{source} is an adapter alone, which does not say what was done to its images: name its training, or say "
            "it with BankTask in Python."
        )
    return finished_run(source, place, tracking_uri=tracking_uri)


def _task_of(folder: Path, name: str, source: Any) -> BankTask:
    """The task of a registered model, or the one of that name in a registered bank."""
    from mlflow.models import Model

    there = tasks_in(folder)
    if {name, ""}.isdisjoint(there):
        raise ValueError(f"{source} is a bank without a task {name!r}: it has {', '.join(there)}.")
    if name in there:
        return there[name]
    return replace(there[""], origin=Model.load(str(folder.parents[1])).run_id or str(source))
