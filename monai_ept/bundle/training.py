# SPDX-License-Identifier: Apache-2.0

"""A training by bundle: what a user sees before it and after it. What is done, ``engines.Training`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events

from monai_ept._moved import moved_names
from monai_ept.bundle.options import check_command_line, short_errors
from monai_ept.data.report import about_split
from monai_ept.engines.training import Training, rank
from monai_ept.evaluation.evaluator import build_evaluator
from monai_ept.networks.embedded_weights import EMBEDDED
from monai_ept.runs.build_network import backbone_recipe
from monai_ept.runs.fit_result import FitResult

__all__ = ["announce", "conclude", "make_trainer", "start", "validator"]


def start() -> None:
    """What comes before anything else: short errors, and no misspelled setting."""
    short_errors()
    check_command_line()


def make_trainer(training: Training, **settings: Any) -> Any:
    """
    The trainer of a training, for a configuration file that names its parts.

    Args:
        training: the training.
        settings: as ``Training.make_trainer`` takes them. Another ``max_epochs`` than the recipe's is for those who
            run the trainer themselves, in rounds: they go along the recipe's schedule, and begin it anew at its end.
    """
    # MONAI's handlers that a bundle may add, those of --tracking mlflow too, read an output for each image.
    trainer = training.make_trainer(**{"decollate": True, **settings})
    scheduler = training.scheduler
    if scheduler is not None:

        def begin_anew(engine: Any) -> None:
            if training.recipe.epochs <= engine.state.epoch < engine.state.max_epochs:
                scheduler.last_epoch = -1
                scheduler.step()

        trainer.add_event_handler(Events.STARTED, begin_anew)
    return trainer


def validator(training: Training) -> Any:
    """
    The evaluator of a training's validation images, for those too who run it themselves, as MONAI's ``MonaiAlgo`` does.

    Args:
        training: the training; where it holds no images out, the evaluator has none either and finds nothing.
    """
    settings: dict[str, Any] = {"task": training.task, "class_names": training.class_names, "device": training.device}
    return training.evaluator or build_evaluator(training.net, training.eval_loader("val"), **settings)


def announce(training: Training) -> None:
    """Say what is going to be trained, before anything is."""
    if rank() > 0:
        return
    net, split, recipe, origin = training.net, training.split, training.recipe, training.origin
    count = net.count()
    backbone = origin["network"].get("backbone", net.backbone_name)
    size = "×".join(map(str, net.vit.img_size))
    inflated = " inflated into a MONAI ViT" if net.vit.spatial_dims == 3 else ""
    name = origin.get("name") or split.source
    lines = [f"{name}: {'going on with' if training.resume else 'training'} {training.folder}"]
    data, *rest = about_split(split, net.vit.spatial_dims)
    lines += [f"  {line}" for line in (data + _about_embedded(split.source, origin), *rest)]
    lines.append(f"  backbone  {backbone}{inflated}, {size}")
    if backbone == EMBEDDED:
        lines.append(
            "            a small one that needs no download, and has never seen a photograph: for trying things out.\n"
            "            --backbone vit_base_patch16_224.augreg_in21k --pretrained true (or a PATH) takes a large one"
        )
    lines.append(
        f"  method    {net.method_name}: "
        f"{'trains' if recipe.epochs else 'has'} {count.delta:,} numbers and {count.head:,} of the head, "
        f"of {count.backbone:,}"
    )
    if training.unlabelled is not None:
        lines.append(f"  adapting  to {len(training.unlabelled.records)} images without labels first")
    settings = {"recipe": recipe.name, **training.settings}
    said = ", ".join(f"{key} {value}" for key, value in settings.items() if value not in ("none", False, 0))
    if not recipe.epochs:
        said = f"recipe {recipe.name}: the head is solved on {recipe.views or 'one'} views, nothing is trained"
    lines.append(f"  training  {said}")
    tracking = training.tracking
    if tracking.enabled:
        from monai_ept.tracking import tracking_store
        from monai_ept.tracking.address import without_password

        store = without_password(tracking_store(tracking.tracking_uri))
        lines.append(f"  MLflow    {store}, experiment {tracking.experiment}")
    print("\n".join(lines), flush=True)


def _about_embedded(name: str, origin: Mapping[str, Any]) -> str:
    """What a user must know about data that are not his own."""
    if not name.startswith("synthetic"):
        return ""
    if not origin.get("name"):
        return ": painted, for trying things out; name a folder to train on your own images"
    if origin["data"].get("embedded_classes") is None:
        return ": the embedded synthetic set; --dataset_dir PATH takes your own images"
    return (
        f": embedded synthetic pictures of something else,\n            since there are none for {origin['name']} yet; "
        "--dataset_dir PATH takes your own images"
    )


def conclude(training: Training, result: FitResult, register: str | None = None) -> None:
    """
    Say what came out and where it is, and register it if that is wanted.

    Args:
        training: the training.
        result: what its ``run`` has returned.
        register: name under which the folded network enters MLflow's model registry; None registers nothing.
    """
    if rank() > 0:
        return
    if result.metrics:
        print(f"\n{result}\n", flush=True)
    if baseline := result.metrics.get("baseline"):
        print(f"baseline    {baseline['said']}")
    delta = result.paths["delta"]
    print(f"adapter     {delta} ({delta.stat().st_size / 1000:,.0f} kB)")
    if training.evaluation is not None:
        report = ", ".join(path.name for path in training.evaluation.paths.values())
        print(f"all files   {result.folder / 'evaluation'}: {report}")
    if "page" in result.paths:
        print(f"report      {result.paths['page']} (open it in a browser)")
    run = training.tracking.run
    if run is not None:
        from monai_ept.tracking.address import without_password

        where = run.url or f"run {run.run_id} in {without_password(run.uri)}"
        print(f"MLflow      {where}" if training.sent else f"MLflow      kept for 'monai-ept sync {result.folder}'")
    if register is not None:
        print(f"registry    {_registered(training, result, register)}")


def _registered(training: Training, result: FitResult, name: str) -> str:
    """Register the trained network; whatever hinders that is said, and harms the training no more."""
    from monai_ept.tracking import register_model

    if not training.sent:
        return f"{name} is not registered: the run has not reached MLflow yet, see the warning above."
    net = training.net
    try:
        made = register_model(
            net,
            name,
            result.folder,
            example=torch.zeros(1, net.vit.in_channels, *net.vit.img_size),
            task=training.task,
            backbone=backbone_recipe(net, training.origin["network"]),
            transforms=training.origin.get("transforms"),
            tracking_uri=training.tracking.run.uri if training.tracking.run is not None else None,
        )
    except (ValueError, ConnectionError) as error:
        return f"{name} is not registered: {error}"
    return f"{made.uri} (mlflow.pyfunc.load_model)"


__getattr__ = moved_names(__name__)
