# SPDX-License-Identifier: Apache-2.0

"""Training and evaluation in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any
from warnings import warn

import torch

from monai_ept.checks import check_choice
from monai_ept.data import FewShotSplit
from monai_ept.data.report import about_split
from monai_ept.data.split import meaning
from monai_ept.engines.recipe import SETTINGS, Recipe, recipe_of
from monai_ept.engines.training import Training, rank
from monai_ept.metrics.positive_class import PositiveClass
from monai_ept.model import TunedViT
from monai_ept.runs.fit_result import FitResult

__all__ = ["fit"]

_TRACK = ("experiment", "run_name", "tags", "tracking_uri")
_PHASES = ("train", "eval")


def _old_arguments(function: Callable[..., FitResult]) -> Callable[..., FitResult]:
    """Up to 0.1 each setting of a recipe and of the record in MLflow was an argument of its own; it still may be."""

    @wraps(function)
    def call(*args: Any, **given: Any) -> FitResult:
        settings = {key: given.pop(key) for key in SETTINGS if key in given}
        record = {key: given.pop(key) for key in _TRACK if key in given}
        transforms = {phase: given.pop(f"{phase}_transform", None) for phase in _PHASES}
        data = given.pop("data", None)
        if settings:
            name = given.get("recipe", "train")  # what fit did then
            warn(f"fit: write recipe={ {'name': name, **settings} } instead.", DeprecationWarning, stacklevel=2)
            given["recipe"] = recipe_of(name).changed(**settings)
        if record:
            warn(f"fit: write track={record} instead.", DeprecationWarning, stacklevel=2)
            given["track"] = record if given.get("track", True) else False
        if any(transform is not None for transform in transforms.values()):
            warn(f"fit: write transforms={transforms} instead.", DeprecationWarning, stacklevel=2)
            given["transforms"] = transforms
        if data is not None:  # a split made from it knows as much
            split = args[1] if len(args) > 1 else given["split"]
            split = replace(split, **{**meaning(data), "origin": split.origin or data.origin})
            args, given["split"] = args[:1], split
        return function(*args, **given)

    return call


@_old_arguments
def fit(
    net: TunedViT,
    split: FewShotSplit,
    *,
    recipe: str | Mapping[str, Any] | Recipe = "default",
    positive: PositiveClass | Mapping[str, Any] | str | None = None,
    seed: int = 0,
    out_dir: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | torch.device | None = None,
    num_workers: int = 0,
    transforms: Mapping[str, Any] | None = None,
    track: bool | Mapping[str, Any] = True,
    progress: bool = True,
    handlers: Sequence[Any] = (),
) -> FitResult:
    """
    Train what a method trains on the training images of a split, and evaluate it on its test images.

    On a CPU the result follows from the seed bit for bit. ``net`` itself is trained, and stays on the device.

    Args:
        net: the network; what it starts with is its own business, seed torch before building it.
        split: training, validation and test records.
        recipe: how to train: "default" (the head solved in closed form, nothing trained), "tune" (the method trained
            from there), "train" (AdamW, 20 epochs, from a drawn head), "paper" (the paper's SGD), a ``Recipe``, or a
            mapping of changes such as ``{"epochs": 5, "lr": 1e-3}`` or ``{"name": "paper", "epochs": 5}``.
        positive: the class that is looked for, such as ``"melanoma"``, whose sensitivity, specificity and predictive
            values the report has; or ``{"name": "melanoma", "operating_point": "youden", "prevalence": 0.02}``, see
            ``PositiveClass``. That of the data by default; never guessed.
        seed: of order, augmentation, dropout and the bootstrap.
        out_dir: where to write; by default a folder in ``runs``, under a name in which everything differs that decides
            the result.
        resume: go on with a training that ended early, as if it had not.
        overwrite: replace the training that is in the folder, once the new one is complete.
        device: CUDA if there is a card, else CPU, by default.
        num_workers: processes that load images; the result is the same for any number.
        transforms: what replaces ``network_transforms(net, train=True)`` ("train") and ``network_transforms(net)``
            ("eval").
        track: record the run in MLflow; a mapping may say its experiment, run_name, tags and tracking_uri.
        progress: show it, and first what the data are.
        handlers: more Ignite handlers for the trainer.

    Raises:
        ValueError: when an argument is out of range, or validation is asked for and there are no images for it.
        FileExistsError: when there is a training in the folder, and it is neither resumed nor to be replaced.
        CheckpointError: when resuming, and the checkpoint is another training's.
        NonFiniteError: when the loss is no number any more.
        WriteError: when the disk is full or the folder cannot be written.
        TrainingStopped: on SIGTERM or Ctrl-C.

    Returns:
        the finished training: metrics, history and paths.

    Example::

        data = load_source("synthetic_derm")
        split = few_shot_split(data, shots=5)
        net = EPTWrapper("embedded", data.num_classes, class_names=data.class_names)
        result = fit(net, split, recipe={"epochs": 5})
        print(result)
    """
    if track is True:
        track = {}
    for phase in transforms or {}:
        check_choice("transforms", phase, _PHASES)
    training = Training(
        net,
        split,
        recipe,
        positive=positive,
        seed=seed,
        folder=True if out_dir is None else out_dir,
        resume=resume,
        overwrite=overwrite,
        device=device,
        num_workers=num_workers,
        **{f"{phase}_transform": transform for phase, transform in (transforms or {}).items()},
        tracking=None if track is False else track,
        progress=progress,
        handlers=handlers,
    )
    if progress and rank() == 0:
        print("\n".join(about_split(split, net.vit.spatial_dims)), file=sys.stderr, flush=True)
    return training.run()
