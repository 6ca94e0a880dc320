# SPDX-License-Identifier: Apache-2.0

"""``monai-ept check``."""

from __future__ import annotations

import argparse
import shlex
import sys

from monai_ept.command_line import Command, add_data_options, yaml_options

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="the data folder, or a file that is one")
    add_data_options(parser, "how it is read, see docs/data.md (found out by what lies in it)")
    parser.add_argument("--out", metavar="FOLDER", help="write near_copies.csv and near_copies.png into it")
    parser.add_argument("--fast", action="store_true", help="do not look for near copies, which decodes every image")


def _run(args: argparse.Namespace) -> None:
    """Print the report; the exit status is 1 if a training would refuse the data."""
    from monai_ept.data.report import check_data

    options = yaml_options("--option", args.option)
    report = check_data(args.data, args.source, near=not args.fast, out=args.out, **options)
    print(report.text)
    if report.split is not None and report.data is not None:
        print(f"\nnext\n{_training(args, report.split.settings['shots'])}")
    if report.refused:
        print(f"monai-ept check: a training would refuse {args.data}: {report.refused}", file=sys.stderr)
        raise SystemExit(1)


def _training(args: argparse.Namespace, shots: int) -> str:
    """The command that trains on it."""
    words = ["monai-ept", "train", args.data, *(["--source", args.source] if args.source else [])]
    for option in args.option:
        words += ["--option", option]
    return shlex.join([*words, "--shots", str(shots)])


COMMAND = Command(
    "check",
    "Look through a data folder before a training: which source reads it, classes, patients, sizes, values, unreadable "
    "and odd files, copies and near copies, and the command to run next. "
    "Ends with an error if a training would refuse it.",
    _add_arguments,
    _run,
)
