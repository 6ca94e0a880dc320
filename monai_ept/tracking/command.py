# SPDX-License-Identifier: Apache-2.0

"""``monai-ept sync``."""

from __future__ import annotations

import argparse

from monai_ept.command_line import Command, add_tracking_uri

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="*", default=["."], help="where the runs are (the working directory)")
    add_tracking_uri(parser)


def _run(args: argparse.Namespace) -> None:
    """Upload, and say what became of each run.

    Raises:
        ConnectionError: when a run could not be uploaded, with the reason of the first.
    """
    from monai_ept.tracking.sync_folders import sync

    results = sync(args.folders, tracking_uri=args.tracking_uri)
    for result in results:
        print(f"{result.outcome:<9} {result.run_name:<30} {result.journal}{': ' if result.why else ''}{result.why}")
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        first = f"{failed[0].journal}: {failed[0].why}"
        raise ConnectionError(f"{len(failed)} of {len(results)} could not be uploaded and stay here. {first}.")
    if not results:
        print("Nothing to upload: MLflow has everything.")


COMMAND = Command(
    "sync",
    "Upload runs that MLflow has not got, because it was away. Nothing that is there already is sent twice.",
    _add_arguments,
    _run,
)
