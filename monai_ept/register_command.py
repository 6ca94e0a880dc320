# SPDX-License-Identifier: Apache-2.0

"""``monai-ept register``."""

from __future__ import annotations

import argparse

from monai_ept.command_line import Command, add_tracking_uri, named_trainings

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME[@ALIAS]", help="of the model, and an alias that shall mean this version")
    parser.add_argument(
        "--run",
        dest="trainings",
        action="append",
        metavar="[TASK=]RUN",
        required=True,
        help="folder of a training, or run in MLflow; repeat it with names of tasks for a bank, which takes "
        "models:/NAME@ALIAS too",
    )
    parser.add_argument("--add", action="store_true", help="to the tasks of the newest version of the bank")
    parser.add_argument("--pretrained", help="weights of the backbone: a path, true (hub) or false (as in the run)")
    add_tracking_uri(parser, "that of the run")


def _run(args: argparse.Namespace) -> None:
    """Build what is to be registered again, register it, and say where it is."""
    import tempfile

    from monai_ept.tracking.model_registry import name_and_alias

    name_and_alias(args.name)
    trainings = named_trainings("--run", args.trainings)
    if args.add and "" in trainings:
        raise ValueError("--add is for the tasks of a bank: name what is added, --run TASK=RUN.")
    with tempfile.TemporaryDirectory() as place:
        register = _one if "" in trainings else _bank
        print(f"{register(args, trainings, place)} (mlflow.pyfunc.load_model)")


def _one(args: argparse.Namespace, trainings: dict[str, str], place: str) -> str:
    import torch

    from monai_ept.runs.build_network import backbone_recipe
    from monai_ept.runs.find_run import finished_run
    from monai_ept.tracking import register_model

    result, run_id = finished_run(trainings[""], place, tracking_uri=args.tracking_uri)
    net = result.network(args.pretrained)
    return register_model(
        net,
        args.name,
        run_id or result.folder,
        example=torch.zeros(1, net.vit.in_channels, *net.vit.img_size),
        task=result.task,
        backbone=backbone_recipe(net, result.record["network"] or {}),
        transforms=result.transform_settings,
        tracking_uri=args.tracking_uri,
    ).uri


def _bank(args: argparse.Namespace, trainings: dict[str, str], place: str) -> str:
    from pathlib import Path

    from monai_ept.runs import write_bank
    from monai_ept.tracking import register_bank
    from monai_ept.tracking.model_registry import NEWEST

    folder = Path(place) / "bank"
    base = f"models:/{args.name.partition('@')[0]}@{NEWEST}" if args.add else None
    write_bank(folder, trainings, base=base, pretrained=args.pretrained, tracking_uri=args.tracking_uri)
    return register_bank(folder, args.name, tracking_uri=args.tracking_uri).uri


COMMAND = Command(
    "register",
    "Register a finished training in MLflow's model registry, or several on one backbone as one model, a bank. They "
    "are named by their folders or by their runs in MLflow.",
    _add_arguments,
    _run,
)
