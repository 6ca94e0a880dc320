# SPDX-License-Identifier: Apache-2.0

"""``monai-ept register``."""

from __future__ import annotations

import argparse

from monai_ept.command_line import Command, add_tracking_uri

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME[@ALIAS]", help="of the model, and an alias that shall mean this version")
    parser.add_argument(
        "--run", dest="training", metavar="FOLDER|ID", required=True, help="folder of a training, or run in MLflow"
    )
    parser.add_argument("--pretrained", help="weights of the backbone: a path, true (hub) or false (as in the run)")
    add_tracking_uri(parser, "that of the run")


def _run(args: argparse.Namespace) -> None:
    """Build the network of a run again, register it, and say where it is."""
    import tempfile

    import torch

    from monai_ept.runs.build_network import backbone_recipe
    from monai_ept.runs.find_run import finished_run
    from monai_ept.tracking import register_model
    from monai_ept.tracking.model_registry import name_and_alias

    name_and_alias(args.name)
    with tempfile.TemporaryDirectory() as place:
        result, run_id = finished_run(args.training, place, tracking_uri=args.tracking_uri)
        net = result.network({"true": True, "false": False}.get(str(args.pretrained).lower(), args.pretrained))
        made = register_model(
            net,
            args.name,
            run_id or result.folder,
            example=torch.zeros(1, net.vit.in_channels, *net.vit.img_size),
            task=result.task,
            backbone=backbone_recipe(net, result.record["network"] or {}),
            transforms=result.transform_settings,
            tracking_uri=args.tracking_uri,
        )
    print(f"{made.uri} (mlflow.pyfunc.load_model)")


COMMAND = Command(
    "register",
    "Register a finished training in MLflow's model registry. It is named by its folder or by its run in MLflow.",
    _add_arguments,
    _run,
)
