# SPDX-License-Identifier: Apache-2.0

"""The files of a run in MLflow: its folder on this disk, or what the store has of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from monai_ept.files import usable_folder
from monai_ept.tracking.run_file import RUN_FILE, read_about

__all__ = ["download_run", "folder_of_run"]

_NEEDED = {
    "model/delta.safetensors",
    "data/split.json",
    "config/training.json",
    "config/settings.json",  # up to 0.1
    "training/history.json",
    "evaluation/metrics.json",
    "evaluation/predictions.csv",
}


def folder_of_run(run_id: str, runs: str | os.PathLike = "runs") -> Path | None:
    """The folder in ``runs``, or in a folder there, whose run has that id and is finished."""
    for path in sorted([*Path(runs).glob(f"*/{RUN_FILE}"), *Path(runs).glob(f"*/*/{RUN_FILE}")]):
        try:
            about = read_about(path.parent)
        except ValueError:  # damaged: it is not this one
            continue
        if about is not None and about.get("run_id") == run_id and (path.parent / "delta.safetensors").is_file():
            return path.parent
    return None


def download_run(run_id: str, folder: str | os.PathLike, *, tracking_uri: str | None = None) -> Path:
    """Bring what a finished training is built again from.

    Raises:
        FileNotFoundError: when there is no such run, or the store does not answer.
    """
    from monai_ept.tracking.address import missing_database, tracking_store, without_password
    from monai_ept.tracking.mlflow_client import answers, as_default_store, open_client

    folder = Path(folder)
    uri = tracking_store(tracking_uri)
    where = without_password(uri)
    advice = "name the folder of a finished training, or its run in MLflow"
    if missing_database(uri):
        raise FileNotFoundError(
            f"{run_id} is no folder, and there is no {where} that could have a run of that id: {advice}."
        )
    neither = f"{run_id} is neither a folder nor a run at {where}"
    with answers(uri, FileNotFoundError, neither):
        client = open_client(uri)
        known = _has_run(client, run_id)
    if not known:
        raise FileNotFoundError(f"{neither}: {advice}.")
    with answers(uri, FileNotFoundError, neither), as_default_store(uri):
        usable_folder(folder)
        parts = {path.partition("/")[0] for path in _NEEDED}
        there = {item.path for part in parts for item in client.list_artifacts(run_id, part)}
        with tempfile.TemporaryDirectory() as scratch:
            for item in sorted(_NEEDED & there):
                own = item if item.startswith("evaluation/") else Path(item).name  # which has a folder of its own
                usable_folder((folder / own).parent)
                shutil.copy(client.download_artifacts(run_id, item, scratch), folder / own)
    return folder


def _has_run(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True
