# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""``monai-ept benchmark report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_ept.benchmark.report.folder import read_folder
from monai_ept.benchmark.report.markdown import score_table
from monai_ept.benchmark.report.report import build_report, save_report
from monai_ept.benchmark.report.tracked import read_tracked

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
        print(f"\n{report.table.metrics}, {backbone}\n\n{score_table(report.table, backbone, short=True)}")
    if report.table.reference:
        print(f"\n▲ ahead of {report.table.reference}, ▼ behind it, both after correction for the number of tests.")
    print()
    for path in save_report(report, out, cells=args.folder).values():
        print(path)
