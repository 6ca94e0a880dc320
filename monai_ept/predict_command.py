# SPDX-License-Identifier: Apache-2.0

"""``monai-ept predict``."""

from __future__ import annotations

import argparse

from monai_ept.command_line import (
    Command,
    add_computing_options,
    add_result_options,
    add_tracking_uri,
    one_line_each,
    yaml_values,
)

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    one_line_each(parser, "RUN IMAGES [options]")
    parser.add_argument("run_dir", metavar="RUN", help="folder of a training, or its run in MLflow (with --out)")
    parser.add_argument("images", metavar="IMAGES", help="a file or a folder: PNG, JPEG, TIFF, DICOM, NIfTI, NumPy")
    add_result_options(parser, "RUN.predictions-IMAGES", "--output-dir")
    add_computing_options(parser, batch_size=8)
    add_tracking_uri(parser, "that of the run")


def _run(args: argparse.Namespace) -> None:
    """Predict, and write one row for each image."""
    from monai_ept.bundle.images_to_predict import CollectErrors, find_images, predict_records
    from monai_ept.bundle.results import begin_work, beside, finish_predictions
    from monai_ept.engines.setting_checks import check_settings
    from monai_ept.networks.device import usable_device
    from monai_ept.runs.find_run import training_for_results

    numbers = yaml_values(args, ("batch_size", "num_workers"))
    check_settings(pretrained=args.pretrained, device=args.device, **numbers)
    with training_for_results(args.run_dir, args.out, tracking_uri=args.tracking_uri) as training:
        place = {"output_dir": args.out or beside(training, "predictions", args.images), "overwrite": args.overwrite}
        records = find_images(args.images, training.record.get("spatial_dims", 2))
        network = training.network(args.pretrained)
        begin_work(training, "predicting", len(records), **place)
        errors = CollectErrors()
        how = {"device": usable_device(args.device), "progress": True, "errors": errors, **numbers}
        table = predict_records(training, network, records, **how)
        finish_predictions(table, errors.errors, training, records, **place)


COMMAND = Command(
    "predict",
    "Predict images with a finished training. It writes class, probabilities and set of each into predictions.csv, "
    "with the reason for those that cannot be read; no labels are needed.",
    _add_arguments,
    _run,
)
