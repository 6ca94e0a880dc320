# SPDX-License-Identifier: Apache-2.0

"""``monai-ept compare``."""

from __future__ import annotations

import argparse

from monai_ept.command_line import Command, add_tracking_uri, name_value_pairs

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", nargs="+", help="experiments to read (all)")
    parser.add_argument("--metric", help="such as auc or accuracy (balanced accuracy, or mAP for several labels)")
    parser.add_argument("--baseline", default="linear", help="method to compare with (%(default)s)")
    parser.add_argument("--tag", nargs="+", default=[], metavar="NAME=VALUE", help="only runs with these tags")
    parser.add_argument("--out", default="comparison", help="folder for the files (%(default)s)")
    add_tracking_uri(parser)


def _run(args: argparse.Namespace) -> None:
    """Compare, print the table and write the files."""
    from monai_ept.benchmark.report import compare

    tags = name_value_pairs("--tag", args.tag)
    table = compare(
        args.experiment, metric=args.metric, baseline=args.baseline, tags=tags, tracking_uri=args.tracking_uri
    )
    print(table.to_markdown())
    for path in table.save(args.out):
        print(path)


COMMAND = Command(
    "compare",
    "Compare methods over their repetitions, from the runs in MLflow. Writes comparison.csv, .md and .png.",
    _add_arguments,
    _run,
)
