# SPDX-License-Identifier: Apache-2.0

"""``monai-ept analyze``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from monai_ept.command_line import Command, add_tracking_uri, yaml_options

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("the network")
    what.add_argument("--run", dest="training", metavar="FOLDER|ID", help="folder of a training, or run in MLflow")
    what.add_argument("--delta", metavar="FILE", help="a delta file, instead of --run")
    what.add_argument("--pretrained", help="weights of the backbone: a path, true (hub) or false")
    images = parser.add_argument_group("its images")
    images.add_argument("--source", help="how the images are read (as in the run)")
    images.add_argument("--dataset-dir", help="where the images are")
    images.add_argument("--option", nargs="+", default=[], metavar="NAME=VALUE", help="options of the source")
    images.add_argument("--split", metavar="FILE", help="the split (that of the run)")
    images.add_argument("--part", choices=("test", "val", "train"), default="test", help="of the split (%(default)s)")
    images.add_argument("--max-images", type=int, default=500, help="so many of them, drawn by class (%(default)s)")
    parser.add_argument("--calibrate", action="store_true", help="store the temperature in the delta file")
    parser.add_argument("--out", help="folder for analysis.html and the rest (the run's, or ./analysis)")
    parser.add_argument("--overwrite", action="store_true", help="replace an analysis that is in that folder")
    parser.add_argument("--no-track", action="store_true", help="leave the run in MLflow as it is")
    rare = parser.add_argument_group("rarely needed")
    add_tracking_uri(rare, "that of the run")
    rare.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    rare.add_argument("--device", help="such as cpu or cuda (cuda if there is a card)")


def _run(args: argparse.Namespace) -> None:
    """Analyse what the arguments name, write the page, and add it to the run."""
    from monai_ept.analysis.analysis import analyze
    from monai_ept.analysis.network_and_images import find_network_and_images, record_analysis, sets_at
    from monai_ept.delta import store_prediction_sets, store_temperature
    from monai_ept.files import full_disk_is_said
    from monai_ept.runs.result_folder import ResultFolder

    trained = find_network_and_images(
        run=args.training,
        delta=args.delta,
        pretrained=args.pretrained,
        source=args.source,
        dataset_dir=args.dataset_dir,
        split=args.split,
        options=yaml_options("--option", args.option),
        tracking_uri=args.tracking_uri,
        out_dir=args.out or "analysis",
    )
    val = getattr(trained.images, "val", trained.val)
    if args.calibrate and not val:
        raise ValueError("--calibrate needs validation images, and there are none: make the split with val='shots'.")
    if args.calibrate and args.part == "val":
        raise ValueError("--calibrate finds the temperature on the validation images: choose another --part.")
    out = args.out or (trained.folder / "analysis" if trained.folder is not None else Path("analysis"))
    with ResultFolder(out, "analysis", overwrite=args.overwrite) as place, full_disk_is_said(out):
        found = analyze(
            trained.net,
            trained.images,
            val=val,
            part=args.part,
            out_dir=place.begin(),
            class_names=trained.data.class_names,
            max_images=args.max_images,
            transform_settings=trained.transform_settings,
            seed=args.seed,
            device=args.device,
            progress=sys.stderr.isatty(),
        )
        place.deliver()
        paths = {name: place.find(path) for name, path in found.paths.items()}
        found = replace(found, folder=place.folder, paths=paths)
    print(f"{found}\n")
    if args.calibrate and found.temperature is not None:
        if found.temperature.at_edge:
            raise ValueError(
                f"the validation images cannot determine a temperature (it ran to {found.temperature.temperature:.3g}, "
                f"the end of what was searched): {trained.delta} stays as it is; the page is {found.paths['page']}."
            )
        store_temperature(trained.delta, found.temperature.temperature)
        store_prediction_sets(trained.delta, sets_at(found.temperature.temperature, trained, val or []))
        print(f"temperature {found.temperature.temperature:.4g} stored in {trained.delta}")
    print(f"page        {found.paths['page']}")
    if not args.no_track and (said := record_analysis(trained, found.numbers, [*found.paths.values()], args.calibrate)):
        print(said)


COMMAND = Command(
    "analyze",
    "Show what tuning did to features, attention and probabilities. Writes analysis.html with figures and numbers.",
    _add_arguments,
    _run,
)
