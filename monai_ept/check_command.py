# SPDX-License-Identifier: Apache-2.0

"""``monai-ept check``."""

from __future__ import annotations

import argparse
import sys

from monai_ept.command_line import Command, yaml_options

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="the data folder, or a file that is one")
    parser.add_argument("--source", default="folder", help="how it is read (folder; see docs/data.md)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the source; repeat it for more",
    )
    parser.add_argument("--out", metavar="FOLDER", help="write near_copies.csv and near_copies.png into it")
    parser.add_argument("--fast", action="store_true", help="do not look for near copies, which decodes every image")


def _run(args: argparse.Namespace) -> None:
    """Print the report; the exit status is 1 if a training would refuse the data."""
    from monai_ept.data.report import check_data

    options = yaml_options("--option", args.option)
    report = check_data(args.data, args.source, near=not args.fast, out=args.out, **options)
    print(report.text)
    if report.refused:
        print(f"monai-ept check: a training would refuse {args.data}: {report.refused}", file=sys.stderr)
        raise SystemExit(1)


COMMAND = Command(
    "check",
    "Look through a data folder before a training: classes, sizes, unreadable and odd files, copies and near copies. "
    "Ends with an error if a training would refuse it.",
    _add_arguments,
    _run,
)
