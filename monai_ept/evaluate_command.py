# SPDX-License-Identifier: Apache-2.0

"""``monai-ept evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_ept.command_line import (
    Command,
    add_computing_options,
    add_data_options,
    add_result_options,
    add_tracking_uri,
    one_line_each,
    yaml_options,
    yaml_values,
)

__all__ = ["COMMAND"]

_NUMBERS = ("num_resamples", "seed", "batch_size", "num_workers")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    one_line_each(parser, "RUN [DATA] [options]")
    parser.add_argument("run_dir", metavar="RUN", help="folder of a training, or its run in MLflow (with --out)")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="another labelled set; without, the training's own test"
    )
    parser.add_argument("--part", help="external, the whole of DATA; test or val of the training's own, now in DATA")
    add_data_options(parser, "how DATA is read (found out)")
    parser.add_argument("--against", metavar="RUN", help="another training on the same images, with the difference")
    parser.add_argument("--positive", metavar="CLASS", help="the class that is looked for (that of the training)")
    parser.add_argument("--operating-point", metavar="X", help="it is claimed from this probability on (0.5)")
    parser.add_argument("--prevalence", metavar="X", help="share of it where the network is to be used")
    add_result_options(parser, "RUN.evaluation-PART", "--output-dir")
    parser.add_argument("--num-resamples", default="1000", metavar="N", help="of the bootstrap (1000)")
    parser.add_argument("--seed", default="0", metavar="N", help="of the bootstrap (0)")
    add_computing_options(parser, batch_size=32)
    parser.add_argument("--no-track", action="store_true", help="leave the training's run in MLflow as it is")
    add_tracking_uri(parser, "that of the run")


def _run(args: argparse.Namespace) -> None:
    """Evaluate as ``evaluate.yaml`` of a bundle does."""
    from monai_ept.bundle.images_to_evaluate import EXTERNAL, labelled_images, other_predictions
    from monai_ept.bundle.images_to_predict import predict_records
    from monai_ept.bundle.results import begin_work, beside, finish_evaluation, looked_for
    from monai_ept.data.sources.recognise import recognise
    from monai_ept.engines.setting_checks import check_settings, positive_class
    from monai_ept.handlers import MLflowTracking
    from monai_ept.networks.device import usable_device
    from monai_ept.runs.find_run import training_for_results

    numbers, point = yaml_values(args, _NUMBERS), yaml_values(args, ("operating_point", "prevalence"))
    options: dict[str, Any] = yaml_options("--option", args.option)
    part = args.part or ("test" if args.data is None else EXTERNAL)
    about = {"source": args.source, "against": args.against, "pretrained": args.pretrained, "device": args.device}
    check_settings(part=part, tracking_uri=args.tracking_uri, **about, **numbers, **point)
    wanted = positive_class(args.positive, **point)
    with training_for_results(args.run_dir, args.out, tracking_uri=args.tracking_uri) as training:
        looked_for(training, wanted)
        source, folder = args.source, args.data
        if part == EXTERNAL and source is None and folder is not None:
            found = recognise(folder)
            source, folder, options = found.source, found.dataset_dir, {**found.options, **options}
        records = labelled_images(training, part, folder, source=source, options=options or None)
        name = part if part != EXTERNAL else f"external-{Path(args.data).expanduser().resolve().name}"
        place = {"output_dir": args.out or beside(training, "evaluation", name), "overwrite": args.overwrite}
        network = training.network(args.pretrained)
        begin_work(training, "evaluating", len(records), **place)
        how = {"device": usable_device(args.device), **{key: numbers[key] for key in ("batch_size", "num_workers")}}
        finish_evaluation(
            predict_records(training, network, records, progress=True, **how),
            training,
            records,
            network=network,
            positive=wanted,
            against=other_predictions(args.against, training, records, part=part, pretrained=args.pretrained, **how),
            part=part,
            num_resamples=numbers["num_resamples"],
            seed=numbers["seed"],
            tracking=MLflowTracking(
                attach_to=training.folder, tracking_uri=args.tracking_uri, enabled=not args.no_track
            ),
            **place,
        )


COMMAND = Command(
    "evaluate",
    "Evaluate a finished training on its test images, or on another labelled set. "
    "It writes metrics with 95 % intervals, tables, figures and a page, beside the training.",
    _add_arguments,
    _run,
)
