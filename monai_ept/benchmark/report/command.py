# SPDX-License-Identifier: Apache-2.0

"""``monai-ept benchmark report`` and ``monai-ept compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_ept.command_line import Command, add_tracking_uri, name_value_pairs

__all__ = ["COMMANDS"]


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="*", help="the sweep's folder; of several sweeps, which are read as one, theirs"
    )
    parser.add_argument("--sweep", help="the sweep's name, to read its runs from MLflow instead")
    metric = "metric to compare, or SOURCE=METRIC (the sweep's; balanced accuracy, or mAP for several labels)"
    parser.add_argument("--metric", nargs="+", help=metric)
    parser.add_argument("--reference", help="method to compare with (the sweep's, or linear)")
    parser.add_argument("--out", help="folder of the report (report/ in the sweep's; report-<sweep> of several)")
    add_tracking_uri(parser)


def _report(args: argparse.Namespace) -> None:
    """Read, compute, print the table and write everything."""
    from monai_ept.benchmark.report.build import build_report, save_report
    from monai_ept.benchmark.report.from_folder import common_folder, read_folders
    from monai_ept.benchmark.report.from_mlflow import read_tracked
    from monai_ept.benchmark.report.score_table import brief_table
    from monai_ept.reporting.markdown import table_of

    if bool(args.folder) == bool(args.sweep):
        raise ValueError("name either the sweep's folder, or --sweep and its name to read it from MLflow.")
    home = common_folder(args.folder) if args.folder else None
    if args.folder:
        sweep = read_folders(args.folder)
        out = (
            Path(args.folder[0]) / "report" if len(args.folder) == 1 else Path(f"report-{sweep.name}".replace(" ", ""))
        )
    else:
        sweep = read_tracked(args.sweep, tracking_uri=args.tracking_uri)
        out = Path(f"report-{args.sweep}")
    report = build_report(sweep, metric=args.metric, reference=args.reference)
    for text in report.reading:
        print(f"- {text}")
    for backbone in report.table.backbones:
        print(f"\n{report.table.metrics}, {backbone}\n\n{table_of(brief_table(report.table, backbone))}")
    if any(report.table.families):
        print(f"\n▲ ahead of {report.table.reference}, ▼ behind it, both after correction for the number of tests.")
    print()
    for path in save_report(report, args.out or out, cells=home).values():
        print(path)


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", nargs="+", help="experiments to read (all)")
    parser.add_argument("--metric", help="such as auc or accuracy (balanced accuracy, or mAP for several labels)")
    parser.add_argument("--baseline", default="linear", help="method to compare with (%(default)s)")
    parser.add_argument("--tag", nargs="+", default=[], metavar="NAME=VALUE", help="only runs with these tags")
    parser.add_argument("--out", default="comparison", help="folder for the files (%(default)s)")
    add_tracking_uri(parser)


def _compare(args: argparse.Namespace) -> None:
    """Compare, print the table and write the files."""
    from monai_ept.benchmark.report import compare

    tags = name_value_pairs("--tag", args.tag)
    table = compare(
        args.experiment, metric=args.metric, baseline=args.baseline, tags=tags, tracking_uri=args.tracking_uri
    )
    print(table.to_markdown())
    for path in table.save(args.out):
        print(path)


COMMANDS = [
    Command(
        "benchmark report",
        "Report on what a sweep has done. Writes a page with tables, tests and figures.",
        _report_arguments,
        _report,
    ),
    Command(
        "compare",
        "Compare methods over their repetitions, from the runs in MLflow. Writes comparison.csv, .md and .png.",
        _compare_arguments,
        _compare,
    ),
]
