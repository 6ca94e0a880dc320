# SPDX-License-Identifier: Apache-2.0

"""``monai-ept benchmark report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_ept.benchmark.report.build import build_report, save_report
from monai_ept.benchmark.report.from_folder import read_folder
from monai_ept.benchmark.report.from_mlflow import read_tracked
from monai_ept.benchmark.report.score_table import brief_table
from monai_ept.reporting.markdown import table_of

__all__ = ["report_command"]


def report_command(args: argparse.Namespace) -> None:
    """
    Read, compute, print the table and write everything.

    Raises:
        ValueError: when it is not said what to read.
    """
    if bool(args.folder) == bool(args.sweep):
        raise ValueError("name either the sweep's folder, or --sweep and its name to read it from MLflow.")
    if args.folder:
        sweep = read_folder(args.folder)
        out = Path(args.out or Path(args.folder) / "report")
    else:
        sweep = read_tracked(args.sweep, tracking_uri=args.tracking_uri)
        out = Path(args.out or f"report-{args.sweep}")
    report = build_report(sweep, metric=args.metric, reference=args.reference)
    for text in report.reading:
        print(f"- {text}")
    for backbone in report.table.backbones:
        print(f"\n{report.table.metrics}, {backbone}\n\n{table_of(brief_table(report.table, backbone))}")
    if report.table.reference:
        print(f"\n▲ ahead of {report.table.reference}, ▼ behind it, both after correction for the number of tests.")
    print()
    for path in save_report(report, out, cells=args.folder).values():
        print(path)
