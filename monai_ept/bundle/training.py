# SPDX-License-Identifier: Apache-2.0

"""The beginning and the end of a training by bundle: what a user sees, and what is written down."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ept.bundle.options import check_command_line, short_errors
from monai_ept.data import FewShotSplit, RecordSet
from monai_ept.engines import evaluate, evaluate_records, metrics_table
from monai_ept.evaluation.evaluator import Evaluation
from monai_ept.files import remove_partials, usable_folder, write_whole
from monai_ept.handlers import MLflowTracking
from monai_ept.model import TunedViT
from monai_ept.networks.embedded_weights import EMBEDDED
from monai_ept.networks.unwrap_network import unwrap
from monai_ept.runs.build_network import backbone_recipe

__all__ = ["RECORD_FILE", "begin_training", "defined_above", "finish_training", "rank", "run_name", "start"]

RECORD_FILE = "training.json"
"""In the folder of a training: how its network and its data are built again."""


def start() -> None:
    """What comes before anything else: short errors, and no misspelled setting."""
    short_errors()
    check_command_line()


def defined_above(handler: Any) -> Any:
    """A handler that a configuration defines elsewhere: MONAI's tools take only mappings in a list of handlers."""
    return handler


def rank() -> int:
    """The number of this process among those that train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return 0


def run_name(method: Any, shots: int, seed: int) -> str:
    """
    A name for a run and its folder.

    Example::

        >>> run_name("ept", 5, 0)
        'ept-5shot-seed0'
    """
    methods = [one["name"] if isinstance(one, Mapping) else str(one) for one in _listed(method)]
    return f"{'+'.join(methods)}-{shots}shot-seed{seed}"


def _listed(method: Any) -> list[Any]:
    return list(method) if isinstance(method, (list, tuple)) else [method]


def begin_training(
    bundle: str,
    run_dir: str | os.PathLike,
    *,
    network: nn.Module,
    data: RecordSet,
    split: FewShotSplit,
    data_settings: Mapping[str, Any],
    network_settings: Mapping[str, Any],
    transform_settings: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    evaluator: Any = None,
    tracking: MLflowTracking | None = None,
    resume: bool = False,
) -> None:
    """
    Write down what is trained, and say it.

    Args:
        bundle: name of the bundle.
        run_dir: folder of the training, made if need be.
        network: the network.
        data: all records.
        split: those that are used.
        data_settings: arguments of ``load_data``.
        network_settings: arguments of ``make_network``.
        transform_settings: arguments of ``network_transforms`` that the network does not know.
        training: settings of the training, to be shown.
        evaluator: the engine that validates, whose metrics are recorded.
        tracking: what records the run.
        resume: whether an interrupted training goes on.

    Raises:
        WriteError: when the folder cannot be written.
    """
    if rank() > 0:
        return
    if tracking is not None and evaluator is not None:
        tracking.attach_evaluator(evaluator, prefix="val")
    folder = usable_folder(run_dir)
    remove_partials(folder, "*")
    settings = dict(data_settings)
    if settings.get("dataset_dir") is not None:
        settings["dataset_dir"] = str(Path(settings["dataset_dir"]).expanduser().absolute())
    content = {
        "format": "monai_ept training 1",
        "bundle": bundle,
        "data": settings,
        "network": dict(network_settings),
        "transforms": dict(transform_settings or {}),
        "class_names": list(data.class_names),
        "task": data.task,
        "spatial_dims": data.spatial_dims,
        "training": dict(training or {}),
    }
    if not (resume and (folder / "last.pt").is_file()):  # else they are there, and the checkpoint says if they fit
        (folder / "delta.safetensors").unlink(missing_ok=True)  # an earlier result does not go with a new record
        write_whole(folder / RECORD_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        split.save(folder / "split.json")

    net = unwrap(network)
    count = net.count()
    size = "×".join(map(str, net.vit.img_size))
    say = [f"{bundle}: {'going on with' if resume else 'training'} {folder}"]
    say.append(f"  data      {data.name}, {data.num_classes} classes" + _about_embedded(bundle, data, settings))
    say.append(
        f"  split     {len(split.train)} images to train on, {len(split.val)} to validate, {len(split.test)} to test"
    )
    inflated = " inflated into a MONAI ViT" if net.vit.spatial_dims == 3 else ""
    say.append(f"  backbone  {network_settings.get('backbone', net.backbone_name)}{inflated}, {size}")
    if network_settings.get("backbone") == EMBEDDED:
        say.append(
            "            a small one that needs no download, and has never seen a photograph: for trying things out.\n"
            "            --backbone vit_base_patch16_224.augreg_in21k --pretrained true (or a PATH) takes a large one"
        )
    say.append(
        f"  method    {net.method_name}: "
        f"trains {count.delta:,} numbers and {count.head:,} of the head, of {count.backbone:,}"
    )
    if training:
        say.append(
            "  training  "
            + ", ".join(f"{key} {value}" for key, value in training.items() if value not in (None, False))
        )
    if tracking is not None and tracking.enabled:
        from monai_ept.tracking import tracking_store
        from monai_ept.tracking.mlflow_client import without_password

        say.append(
            f"  MLflow    {without_password(tracking_store(tracking.tracking_uri))}, experiment {tracking.experiment}"
        )
    print("\n".join(say), flush=True)


def _about_embedded(bundle: str, data: RecordSet, settings: Mapping[str, Any]) -> str:
    """What a user must know about data that are not his own."""
    if not data.name.startswith("synthetic"):
        return ""
    if settings.get("embedded_classes") is None:
        return ": the embedded synthetic set; --dataset_dir PATH takes your own images"
    return (
        f": embedded synthetic pictures of something else,\n            since there are none for {bundle} yet; "
        "--dataset_dir PATH takes your own images"
    )


def finish_training(
    network: nn.Module,
    test_loader: Any,
    *,
    run_dir: str | os.PathLike,
    task: str,
    class_names: Sequence[str],
    split: FewShotSplit,
    trainer: Any = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    tracking: MLflowTracking | None = None,
    num_resamples: int = 1000,
    transform_settings: Mapping[str, Any] | None = None,
    network_settings: Mapping[str, Any] | None = None,
    register: str | None = None,
) -> Evaluation | None:
    """
    Test what was trained, write the report, close the MLflow run, and say where everything is.

    Args:
        network: the trained network.
        test_loader: the test images.
        run_dir: folder of the training.
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        split: the split, whose test records name the groups.
        trainer: the trainer, whose history is written.
        seed: of the bootstrap.
        device: where to compute.
        tracking: what records the run.
        num_resamples: of the bootstrap.
        transform_settings: what the images' transforms were given beyond the network's own.
        network_settings: arguments of ``make_network``, for a registered model to be built again.
        register: name under which the folded network enters MLflow's model registry; None registers nothing.

    Returns:
        what the test found, in the first process; None in the others.
    """
    folder = Path(run_dir)
    first = rank() == 0
    if not split.test:
        if first:
            print("there are no images to test on, so there is no test.", flush=True)
        evaluation = None
    else:
        if first:
            print(f"testing on {len(split.test)} images", flush=True)
        if first:
            evaluation = evaluate_records(
                unwrap(network),
                test_loader,
                split.test,
                folder=folder / "evaluation",
                task=task,
                class_names=class_names,
                num_resamples=num_resamples,
                seed=seed,
                device=device,
                transform_settings=transform_settings,
            )
        else:
            # The others bring their share of the predictions.
            evaluation = evaluate(
                unwrap(network), test_loader, task=task, class_names=class_names, num_resamples=0, device=device
            )
    if not first:
        return None
    report = [] if evaluation is None else list(evaluation.paths.values())
    if evaluation is not None:
        print(f"\n{metrics_table(evaluation.metrics, evaluation.intervals)}\n", flush=True)
    delta = folder / "delta.safetensors"
    kept = {"model": [delta], "data": [folder / "split.json"], "config": [folder / RECORD_FILE], "evaluation": report}
    if trainer is not None:
        text = json.dumps(trainer.state.history, indent=1)
        kept["training"] = [write_whole(folder / "history.json", text + "\n")]
    sent = True
    if tracking is not None:
        sent = tracking.finish({} if evaluation is None else evaluation.recorded, kept)
    print(f"adapter     {delta} ({delta.stat().st_size / 1000:,.0f} kB)")
    if evaluation is not None:
        print(f"test report {folder / 'evaluation'}: {', '.join(path.name for path in report)}")
    if tracking is not None and tracking.run is not None:
        from monai_ept.tracking.mlflow_client import without_password

        where = tracking.run.url or f"run {tracking.run_id} in {without_password(tracking.run.uri)}"
        print(f"MLflow      {where}" if sent else "MLflow      kept for 'monai-ept sync', see the warning above")
    if register is not None:
        print(f"registry    {_registered(unwrap(network), register, folder, task, network_settings, sent)}")
    return evaluation


def _registered(
    net: TunedViT,
    name: str,
    folder: Path,
    task: str,
    network_settings: Mapping[str, Any] | None,
    sent: bool,
) -> str:
    """Register the trained network; whatever hinders that is said, and harms the training no more."""
    from monai_ept.tracking import register_model

    if not sent:
        return f"{name} is not registered: the run has not reached MLflow yet, see the warning above."
    try:
        example = torch.zeros(1, net.vit.in_channels, *net.vit.img_size)
        made = register_model(
            net, name, folder, example=example, task=task, backbone=backbone_recipe(net, network_settings or {})
        )
    except (ValueError, ConnectionError) as error:
        return f"{name} is not registered: {error}"
    return f"{made.uri} (mlflow.pyfunc.load_model)"
