# SPDX-License-Identifier: Apache-2.0

"""Training and evaluation in one call."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, Dataset

from monai_ept.checks import check_choice, check_whole
from monai_ept.data import FewShotSplit, RecordSet, SeededDataLoader
from monai_ept.data.records import Record
from monai_ept.engines.network_inputs import network_transforms
from monai_ept.engines.recipe import (
    class_weights,
    cosine_schedule,
    default_weight_decay,
    make_loss,
    make_optimizer,
    optimizer_settings,
    task_of,
)
from monai_ept.engines.run_description import describe_run
from monai_ept.engines.trainer import build_trainer
from monai_ept.evaluation.evaluate_split import evaluate_records
from monai_ept.evaluation.evaluator import build_evaluator
from monai_ept.evaluation.metrics_files import metrics_table
from monai_ept.files import remove_partials, usable_folder, write_whole
from monai_ept.handlers import DeltaCheckpoint, MLflowTracking, StopOnSignal
from monai_ept.metrics import Interval
from monai_ept.model import TunedViT

__all__ = ["FitResult", "fit"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitResult:
    """
    What came out of a training.

    Args:
        metrics: test metrics, all of ``classification_metrics``; empty when there was nothing to test on.
        intervals: metric → value with its 95 % bootstrap interval over test images.
        history: for each epoch its mean loss, learning rate and, where it was validated, ``"val"`` metrics.
        epoch: the epoch that was selected as the result.
        run_id: the MLflow run; None when tracking was off or the server was out of reach.
        folder: where everything was written.
        paths: what was written, by what it is; ``paths["delta"]`` is the trained delta.
    """

    metrics: dict[str, Any]
    intervals: dict[str, Interval]
    history: list[dict[str, Any]]
    epoch: int
    run_id: str | None
    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        return metrics_table(self.metrics, self.intervals)


def fit(
    net: TunedViT,
    split: FewShotSplit,
    *,
    data: RecordSet | None = None,
    epochs: int = 20,
    batch_size: int = 4,
    recipe: str = "default",
    lr: float | None = None,
    optimizer: str | None = None,
    momentum: float = 0.9,
    weight_decay: float | None = None,
    schedule: str = "cosine",
    warmup_steps: int = 0,
    class_weighting: bool = False,
    max_norm: float | None = None,
    amp: str = "auto",
    seed: int = 0,
    select: str = "last",
    val_interval: int | None = None,
    key_metric: str | None = None,
    out_dir: str | Path | None = None,
    resume: bool = False,
    device: str | torch.device | None = None,
    num_workers: int = 0,
    eval_batch_size: int = 32,
    num_resamples: int = 1000,
    train_transform: Any = None,
    eval_transform: Any = None,
    track: bool = True,
    experiment: str | None = None,
    run_name: str | None = None,
    tags: Mapping[str, Any] | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
    handlers: Sequence[Any] = (),
) -> FitResult:
    """
    Train what a method trains on the training images of a split, and evaluate it on its test images.

    The defaults are AdamW with a learning rate that suits the method, cosine schedule, 20 epochs, batches of 4, result
    of the last epoch; ``recipe="paper"`` is the paper's SGD. On a CPU the result follows from the seed bit for bit.
    ``net`` itself is trained, and stays on the device.

    Args:
        net: the network; what it starts with is its own business, seed torch before building it.
        split: training, validation and test records.
        data: the data set of the split, for class names and task; the network's names and the labels' kind otherwise.
        epochs: passes over the training images.
        batch_size: images per step.
        recipe: "default" or "paper", see ``optimizer_settings``.
        lr: base learning rate, instead of the recipe's.
        optimizer: "sgd" or "adamw", instead of the recipe's.
        momentum: of SGD.
        weight_decay: 1e-4 (SGD) or 0.01 (AdamW) by default.
        schedule: "cosine", step by step to zero, or "constant".
        warmup_steps: steps of a climb to the full learning rate, with the cosine.
        class_weighting: let every class count alike, however many training images it has.
        max_norm: clip the gradients to this norm.
        amp: mixed precision, see ``at_precision``.
        seed: of order, augmentation, dropout and the bootstrap.
        select: "last" takes the last epoch; "val" the best epoch on the split's validation images, which costs labels
            that a few-shot comparison must count.
        val_interval: validate every so many epochs; by default each with ``select="val"`` and never otherwise.
        key_metric: what "best" means, see ``build_evaluator``.
        out_dir: where to write; by default ``runs/`` with a name of source, method, shots and seed.
        resume: go on with a training that ended early, as if it had not.
        device: CUDA if there is a card, else CPU, by default.
        num_workers: processes that load images; the result is the same for any number.
        eval_batch_size: images per step of an evaluation.
        num_resamples: of the bootstrap; 0 leaves the intervals out.
        train_transform: replaces ``network_transforms(net, train=True)``.
        eval_transform: replaces ``network_transforms(net)``.
        track: record the run in MLflow.
        experiment: MLflow experiment, the name of the data source by default.
        run_name: name of the run.
        tags: tags of the run.
        tracking_uri: where MLflow is; MLFLOW_TRACKING_URI, or a file in the working directory, by default.
        progress: show it.
        handlers: more Ignite handlers for the trainer.

    Raises:
        ValueError: when an argument is out of range, or validation is asked for and there are no images for it.
        CheckpointError: when resuming, and the checkpoint is another training's.
        NonFiniteError: when the loss is no number any more.
        WriteError: when the disk is full or the folder cannot be written.
        TrainingStopped: on SIGTERM or Ctrl-C.

    Returns:
        metrics, history and paths.

    Example::

        data = load_source("synthetic_derm")
        split = few_shot_split(data, shots=5)
        net = EPTWrapper("embedded", data.num_classes, class_names=data.class_names)
        result = fit(net, split, epochs=5)
        print(result)
    """
    check_whole("batch_size", batch_size)
    check_whole("epochs", epochs)
    check_choice("schedule", schedule, ("cosine", "constant"))
    check_choice("select", select, ("last", "val"))
    if data is not None and data.num_classes != net.num_classes:
        raise ValueError(
            f"data has {data.num_classes} classes and the network {net.num_classes}: build it with as many."
        )
    if select == "val" and not split.val:
        raise ValueError("select='val' needs validation images and the split has none: make it with val='shots'.")
    optimizer, lr = optimizer_settings(net, recipe, optimizer, lr)
    task = data.task if data is not None else task_of(split.train)
    class_names = data.class_names if data is not None else net.class_names
    settings = {
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "lr": lr,
        **({"momentum": momentum} if optimizer == "sgd" else {}),
        "weight_decay": default_weight_decay(optimizer) if weight_decay is None else weight_decay,
        "schedule": schedule,
        "warmup_steps": warmup_steps,
        "class_weighting": class_weighting,
        "max_norm": max_norm if max_norm is not None else "none",
        "amp": amp,
        "select": select,
    }
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    net.to(device)
    folder = usable_folder(out_dir if out_dir is not None else default_folder(net, split, seed))
    remove_partials(folder, "*")
    split.save(folder / "split.json")
    params = describe_run(net, split, settings)
    write_whole(folder / "settings.json", json.dumps(params, indent=1, ensure_ascii=False) + "\n")

    train_set = CacheDataset(
        _bare(split.train), train_transform or network_transforms(net, train=True), progress=False, num_workers=None
    )
    loader = SeededDataLoader(
        train_set, batch_size=batch_size, shuffle=True, num_workers=num_workers, seed=seed, drop_last=False
    )
    eval_transform = eval_transform or network_transforms(net)

    def eval_loader(records: Sequence[Record]) -> SeededDataLoader:
        dataset = Dataset(_bare(records), eval_transform)
        return SeededDataLoader(dataset, batch_size=eval_batch_size, num_workers=num_workers, seed=seed)

    if val_interval is None and select == "val":
        val_interval = 1
    evaluator = None
    if val_interval is not None and split.val:
        evaluator = build_evaluator(
            net, eval_loader(split.val), task=task, class_names=class_names, key_metric=key_metric, device=device
        )

    weights = class_weights(split.train, net.num_classes) if class_weighting else None
    optim = make_optimizer(net, optimizer, lr, momentum=momentum, weight_decay=weight_decay)
    steps = epochs * len(loader)
    scheduler = cosine_schedule(optim, steps, warmup_steps=warmup_steps) if schedule == "cosine" else None
    identity = {**settings, "split": split.hash, "task": task}
    checkpoint = DeltaCheckpoint(
        folder, net, optim, scheduler, evaluator=evaluator, select=select, resume=resume, identity=identity
    )
    tracking = MLflowTracking(
        run_name,
        experiment or split.source,
        tracking_uri,
        params=params,
        tags=tags,
        artifacts_dir=folder,
        enabled=track,
        resume=resume,
    )
    if evaluator is not None:
        tracking.attach_evaluator(evaluator, prefix="val")

    with StopOnSignal() as stop, tracking:
        trainer = build_trainer(
            net,
            loader,
            epochs=epochs,
            optimizer=optim,
            scheduler=scheduler,
            loss_function=make_loss(task, weights).to(device),
            device=device,
            amp=amp,
            max_norm=max_norm,
            seed=seed,
            evaluator=evaluator,
            val_interval=val_interval or 1,
            checkpoint=checkpoint,
            progress=progress,
            handlers=[stop, *handlers, tracking],
        )
        trainer.run()
        paths = {"delta": checkpoint.delta_path, "checkpoint": checkpoint.last_path}
        paths.update({"split": folder / "split.json", "settings": folder / "settings.json"})
        paths["history"] = write_whole(folder / "history.json", json.dumps(trainer.state.history, indent=1) + "\n")
        metrics: dict[str, Any] = {}
        intervals: dict[str, Interval] = {}
        recorded: dict[str, Any] = {}
        if split.test:
            evaluation = evaluate_records(
                net,
                eval_loader(split.test),
                split.test,
                folder=folder / "evaluation",
                task=task,
                class_names=class_names or [f"class_{index}" for index in range(net.num_classes)],
                num_resamples=num_resamples,
                seed=seed,
                device=device,
            )
            metrics, intervals, recorded = evaluation.metrics, evaluation.intervals, evaluation.recorded
            paths.update(evaluation.paths)
        else:
            logger.warning(f"the split of {split.source} has no test images: there is nothing to evaluate on.")
        tracking.finish(recorded, _artifacts(paths))
    return FitResult(
        metrics=metrics,
        intervals=intervals,
        history=trainer.state.history,
        epoch=evaluator.state.best_metric_epoch if select == "val" and evaluator is not None else epochs,
        run_id=tracking.run_id,
        folder=folder,
        paths=paths,
    )


def default_folder(net: TunedViT, split: FewShotSplit, seed: int) -> Path:
    """``runs/<source>-<method>-<shots>shot-<split>-seed<seed>``: another one for another split, method or seed."""
    return (
        Path("runs") / f"{split.source}-{net.method_name}-{split.settings.get('shots')}shot-{split.hash[:6]}-seed{seed}"
    )


def _bare(records: Sequence[Record]) -> list[Record]:
    """Records with what a batch needs; what else a source put there may not fit into one."""
    return [{key: record[key] for key in ("image", "label", "id")} for record in records]


def _artifacts(paths: Mapping[str, Path]) -> dict[str, list[Path]]:
    """Which file goes into which folder of the run."""
    top = {"delta": "model", "split": "data", "settings": "config", "history": "training"}
    folders: dict[str, list[Path]] = {}
    for name, path in paths.items():
        if name != "checkpoint":  # it is for going on here, and of no use elsewhere
            folders.setdefault(top.get(name, "evaluation"), []).append(path)
    return folders
