# SPDX-License-Identifier: Apache-2.0

"""``monai-ept train``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from monai_ept.command_line import (
    Command,
    add_data_options,
    add_result_options,
    one_line_each,
    yaml_options,
    yaml_values,
)

__all__ = ["COMMAND"]

_NETWORK = ("method", "backbone_settings", "img_size", "patch_size", "in_channels", "readout")
_RECIPE = ("epochs", "lr", "batch_size", "views", "amp")
_OTHERS = ("shots", "test_fraction", "operating_point", "prevalence", "intensity_range", "num_workers", "adapted")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    one_line_each(parser, "[IMAGES] [options]")
    data = parser.add_argument_group("data")
    data.add_argument("images", nargs="?", help="labelled ones: class folders, a csv, ISIC, MedMNIST, NIfTI, DICOM")
    add_data_options(data, "how they are read (found out); synthetic_derm needs no images")
    data.add_argument("--shots", default="5", metavar="N", help="patients or images of each class to train on (5)")
    data.add_argument("--seed", default="0", metavar="N", help="of all that is random (0); --seeds 0:5 gives the mean")
    data.add_argument("--test-fraction", metavar="X", help="share to test on (the official test images, or the rest)")
    data.add_argument("--positive", metavar="CLASS", help="looked for; with --operating-point X, --prevalence X")
    network = parser.add_argument_group("network")
    large = "vit_base_patch16_224.augreg_in21k"
    network.add_argument("--backbone", default="embedded", metavar="NAME", help=f"large: {large} (embedded: small)")
    network.add_argument("--pretrained", metavar="PATH|true", help="its weights: a file, or the hub's (true); or false")
    network.add_argument("--backbone-settings", metavar="YAML", help="of its architecture: {init_values: 1.0e-5}")
    network.add_argument("--img-size", metavar="N", help="volumes: --patch-size, --in-channels, --intensity-range, too")
    network.add_argument("--method", default="ept", metavar="YAML", help="ept, …, {name: lora, rank: 8}, [ept, ln]")
    how = parser.add_argument_group("training")
    how.add_argument("--recipe", default="default", help="default: solve the head, in seconds; tune, train, paper")
    how.add_argument("--epochs", metavar="N", help="more than before, with --resume: go on from there")
    how.add_argument("--lr", metavar="X", help="learning rate; and --batch-size N, --amp bfloat16")
    how.add_argument("--views", help="one, upright, or turned where up has no meaning; --readout N")
    how.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="more of docs/training.md")
    how.add_argument("--unlabelled", metavar="FOLDER", help="images to adapt to first; rest: all but those to test on")
    how.add_argument("--adapted", metavar="FILE", help="start from what monai-ept adapt wrote")
    how.add_argument("--device", help="cpu or cuda (a card if there is one); --num-workers N load images")
    result = parser.add_argument_group("result")
    add_result_options(result, "runs/DATA/METHOD-SHOTS-SEED-HASH", "--run-dir")
    result.add_argument("--resume", action="store_true", help="go on with what was interrupted, or had fewer epochs")
    result.add_argument("--no-track", action="store_true", help="not in MLflow (--experiment NAME, --tracking-uri URI)")
    result.add_argument("--register", metavar="NAME", help="let it enter MLflow's model registry")
    # They stand beside others on the page, which then fits one screen.
    more = ("operating-point", "prevalence", "patch-size", "in-channels", "intensity-range", "batch-size", "amp")
    for name in (*more, "readout", "num-workers", "experiment", "tracking-uri"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", dest="seed", help=argparse.SUPPRESS)


def _run(args: argparse.Namespace) -> None:
    """Check all that was given, then train, once or with each seed."""
    from monai_ept.bundle.plain_training import find_data, make_training, read_seeds
    from monai_ept.bundle.seed_repeats import train_seeds
    from monai_ept.bundle.training import announce, conclude
    from monai_ept.engines.setting_checks import check_settings, positive_class
    from monai_ept.networks.embedded_weights import EMBEDDED

    others: dict[str, Any] = {name: value for name, value in yaml_values(args, _OTHERS).items() if value is not None}
    large = args.backbone != EMBEDDED  # which nobody wants with random weights unasked
    network = {"backbone": args.backbone, "pretrained": args.pretrained or large, **yaml_values(args, _NETWORK)}
    recipe = {"name": args.recipe, **yaml_values(args, _RECIPE), **yaml_options("--set", args.set)}
    options, seeds = yaml_options("--option", args.option), read_seeds(args.seed)
    tracking = None if args.no_track else {"experiment": args.experiment, "tracking_uri": args.tracking_uri}
    if len(seeds) > 1 and args.register is not None:
        raise ValueError("--register takes one training: register the seed that you want with monai-ept register.")
    check_settings(
        network={key: value for key, value in network.items() if value is not None},
        recipe=recipe,
        source=args.source,
        seed=seeds[-1],
        device=args.device,
        unlabelled=args.unlabelled,
        register=args.register,
        track=not args.no_track if tracking is None else tracking,
        **others,
    )
    positive = positive_class(args.positive, *(others.pop(name, None) for name in ("operating_point", "prevalence")))
    intensity = {"intensity_range": others.pop("intensity_range")} if "intensity_range" in others else {}
    make = partial(
        make_training,
        find_data(args.images, args.source, options),
        network=network,
        recipe=recipe,
        positive=positive,
        unlabelled=args.unlabelled,
        transforms=intensity,
        device=args.device,
        tracking=tracking,
        **others,
    )
    folder = None if args.out is None else Path(args.out)
    go_on = {"resume": args.resume, "overwrite": args.overwrite}
    if len(seeds) > 1:
        train_seeds(make, seeds, folder, **go_on)
        return
    training = make(seed=seeds[0], folder=folder or True, **go_on)
    announce(training)
    conclude(training, training.run(), args.register)


COMMAND = Command(
    "train",
    "Train on labelled images, test the result and record it, as fit and bundles do.",
    _add_arguments,
    _run,
)
