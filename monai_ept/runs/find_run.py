# SPDX-License-Identifier: Apache-2.0

"""A finished training by what a user knows of it: its folder, or the id of its run in MLflow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_ept.runs.fit_result import FitResult

__all__ = ["finished_run", "training_for_results"]


def finished_run(
    run: str | os.PathLike, place: str | os.PathLike, *, tracking_uri: str | None = None
) -> tuple[FitResult, str | None]:
    """
    Find it in its folder, by its id in a folder of ``runs``, or in MLflow.

    Args:
        place: where the files of a run are downloaded to that has no folder here.
        tracking_uri: the store of a run that is named by its id.

    Raises:
        FileNotFoundError: when there is no such training.
        ValueError: when its record cannot be read.

    Returns:
        the training, and the run's id where it had to be downloaded.
    """
    folder = Path(run).expanduser()
    if folder.is_dir():
        return FitResult.load(folder), None
    from monai_ept.tracking.run_files import download_run, folder_of_run

    if (found := folder_of_run(str(run))) is not None:
        return FitResult.load(found), None
    return FitResult.load(download_run(str(run), place, tracking_uri=tracking_uri)), str(run)


@contextmanager
def training_for_results(
    run: str | os.PathLike, out: str | os.PathLike | None, *, tracking_uri: str | None = None
) -> Iterator[FitResult]:
    """
    A context with a finished training, whose results are written elsewhere or beside it.

    Args:
        out: where results go; None means beside the training.

    Raises:
        FileNotFoundError: when there is no such training.
        ValueError: when its record cannot be read, or it has no folder here that anything could lie beside.
    """
    with tempfile.TemporaryDirectory() as place:
        training, downloaded = finished_run(run, place, tracking_uri=tracking_uri)
        if downloaded and out is None:
            raise ValueError(f"run {run} has no folder here that its results could lie beside: name one with --out.")
        yield training
