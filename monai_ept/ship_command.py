# SPDX-License-Identifier: Apache-2.0

"""``monai-ept ship``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ept.command_line import Command, add_tracking_uri, named_trainings, yaml_options, yaml_values

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("trainings",),
        nargs="+",
        metavar="[TASK=]RUN",
        help="folder of a training, or run in MLflow; several, with names of their tasks, are shipped as a bank",
    )
    parser.add_argument("--to", metavar="FOLDER", required=True, help="the bundle; its name is that of the folder")
    parser.add_argument("--formats", nargs="+", default=["ts"], metavar="F", help="ts, pt2, onnx (ts)")
    parser.add_argument("--check", default="8", metavar="N", help="images of the evaluation, or all (%(default)s)")
    parser.add_argument("--zoo", action="store_true", help="add what MONAI's Model Zoo asks for")
    parser.add_argument("--push", metavar="hf:OWNER/NAME", help="push the bundle to the Hugging Face hub")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that was shipped there before")
    about = parser.add_argument_group("what it says of itself")
    about.add_argument("--version", default="0.1.0", help="three numbers (%(default)s)")
    about.add_argument("--modality", default="", help="of the images, such as dermoscopy or CT")
    about.add_argument("--license", metavar="FILE", help="its LICENSE (the Apache License 2.0)")
    about.add_argument("--data-license", metavar="FILE", help="what is known of the licence of the images")
    there = parser.add_argument_group("where things are, if not where the training read them")
    there.add_argument("--pretrained", help="weights of the backbone: a path, true (hub) or false")
    there.add_argument("--dataset-dir", metavar="DIR", help="the images")
    there.add_argument("--source", help="how they are read")
    there.add_argument("--option", nargs="+", default=[], metavar="NAME=VALUE", help="options of the source")
    add_tracking_uri(there, "that of the run")


def _run(args: argparse.Namespace) -> None:
    """Ship the training, and say what was made, what it costs and how it was checked."""
    import tempfile

    from monai_ept.checks import check_whole
    from monai_ept.deploy.bank_folder import ship_bank
    from monai_ept.deploy.bundle_folder import UNSAID, ship
    from monai_ept.deploy.zoo import hub_place, push
    from monai_ept.runs.find_run import finished_run

    check = None if args.check == "all" else check_whole("--check", yaml_values(args, ("check",))["check"])
    repository = hub_place(args.push) if args.push else None
    licence = _text("--license", args.license)
    data_licence = _text("--data-license", args.data_license) or UNSAID
    trainings = named_trainings("RUN", args.trainings)
    moved = args.dataset_dir or args.source or args.option
    if "" not in trainings and (moved or args.zoo or args.push or args.formats != ["ts"]):
        raise ValueError(
            "a bank is shipped in TorchScript and from where its images are: leave out --formats, --zoo, --push, "
            "--dataset-dir, --source and --option, or ship one of its tasks by itself."
        )
    common: dict[str, Any] = {
        "check": check,
        "pretrained": args.pretrained,
        "version": args.version,
        "modality": args.modality,
        "licence": licence,
        "data_licence": data_licence,
        "overwrite": args.overwrite,
    }
    with tempfile.TemporaryDirectory() as place:
        found = {
            name: finished_run(run, Path(place) / str(number), tracking_uri=args.tracking_uri)[0]
            for number, (name, run) in enumerate(trainings.items())
        }
        if "" in found:
            training = found[""]
            options = yaml_options("--option", args.option) or None
            data = training.data(args.dataset_dir, source=args.source, options=options) if moved else None
            made: Any = ship(training, args.to, formats=args.formats, data=data, zoo=args.zoo, **common)
        else:
            made = ship_bank(found, args.to, **common)
        print(made, flush=True)
    if repository is not None:
        print(f"pushed    {push(made.folder, repository, args.version)}")


def _text(flag: str, path: str | None) -> str | None:
    from monai_ept.data.image_file import reason

    try:
        return None if path is None else Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{flag} {path} cannot be read ({reason(error)}): name a file of text.") from None


COMMAND = Command(
    "ship",
    "Make a MONAI bundle of a finished training that works without monai_ept, or a bank of several on one backbone. It "
    "is there only once it has given the probabilities of the training's evaluation.",
    _add_arguments,
    _run,
)
