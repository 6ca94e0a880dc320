# SPDX-License-Identifier: Apache-2.0

"""A bank in the model registry: one backbone with many tasks as one model, and where such a model's files are."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ept.tracking.address import missing_database, tracking_store, without_password
from monai_ept.tracking.mlflow_client import answers, as_default_store, open_client
from monai_ept.tracking.model_registry import Package, Registered, name_and_alias, publish, run_and_store
from monai_ept.tracking.tracked_run import open_run

__all__ = ["EXPERIMENT", "download_model", "register_bank"]

EXPERIMENT = "banks"
"""Each version of a bank is a run of it, whose parameters say where its tasks come from."""


def register_bank(folder: str | os.PathLike, name: str, *, tracking_uri: str | None = None) -> Registered:
    """
    Register a bank as a new version of a model.

    The registered model takes a table with the columns ``task`` and ``image``, and answers each row as the network of
    that task alone would. It is the backbone's weights once, a delta for each task and a configuration.

    Args:
        folder: files of a bank, see ``monai_ept.runs.write_bank``.
        name: of the registered model, with an alias if wanted, see ``register_model``.
        tracking_uri: the store.

    Raises:
        ValueError: when the folder holds no bank, or MLflow refuses the name.
        DeltaError: when a task's delta is not one of this backbone.
        ConnectionError: when the store does not answer.

    Example::

        >>> write_bank("hospital", {"derm": "runs/derm", "colon": "models:/colon-ept@newest"})
        >>> register_bank("hospital", "hospital")
        Registered(name='hospital', version='1', uri='models:/hospital/1')
        >>> table = pandas.DataFrame({"task": ["derm"], "image": [file.read_bytes()]})
        >>> mlflow.pyfunc.load_model("models:/hospital/1").predict(table)
    """
    from monai_ept.tracking.bank_files import load_bank_files

    name, alias = name_and_alias(name)
    bank, config = load_bank_files(Path(folder))
    uri = tracking_store(tracking_uri)
    with answers(uri, ConnectionError, f"model {name!r} could not be registered"):
        open_client(uri).search_experiments(max_results=1)
    tasks = config["tasks"]
    kinds: dict[str, bool] = {}
    for task, about in tasks.items():
        kinds[about["task"]] = kinds.get(about["task"], False) or bank.task(task).prediction_sets is not None
    with tempfile.TemporaryDirectory() as place:
        params = {f"task.{task}": about["origin"] or "a delta" for task, about in tasks.items()}
        with open_run(place, name, EXPERIMENT, tracking_uri=uri, params=params):
            pass
        run_id, uri = run_and_store(place, name, uri)
        package = Package(
            Path(folder),
            loader="monai_ept.tracking.pyfunc_bank",
            answers=kinds,
            metadata={
                "tasks": {
                    task: {key: about[key] for key in ("class_names", "task", "method", "origin")}
                    for task, about in tasks.items()
                },
                "input": "a table with the columns 'task' and 'image' (bytes of a file, or base64) or 'path'",
                "img_size": config["img_size"],
            },
            example=_example(next(iter(tasks)), config["img_size"]),
        )
        return publish(package, name, alias, run_id, uri)


def _example(task: str, img_size: Sequence[int]) -> Any:
    """A request about a black image."""
    import pandas

    if len(img_size) == 2:
        from PIL import Image

        Image.new("L", (img_size[1], img_size[0])).save(content := io.BytesIO(), "PNG")
        image = content.getvalue()
    else:
        import nibabel
        import numpy as np

        image = nibabel.Nifti1Image(np.zeros(img_size, np.uint8), np.eye(4)).to_bytes()
    return pandas.DataFrame({"task": [task], "image": [base64.b64encode(image).decode()]})


def download_model(uri: str, folder: str | os.PathLike, *, tracking_uri: str | None = None) -> Path:
    """
    Bring the files of a registered model.

    Args:
        uri: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises:
        FileNotFoundError: when there is no such model, or it is none of this package.

    Returns:
        the folder of the files, as it was registered.
    """
    from mlflow.artifacts import download_artifacts

    store = tracking_store(tracking_uri)
    where = f"{uri} is no model at {without_password(store)} that can be read"
    if missing_database(store):
        raise FileNotFoundError(f"{where}: there is no such database.")
    with answers(store, FileNotFoundError, where), as_default_store(store):
        open_client(store)
        found = Path(download_artifacts(uri, dst_path=str(folder), tracking_uri=store))
    inside = sorted(found.glob("data/*/config.json"))
    if len(inside) != 1:
        raise FileNotFoundError(f"{uri} is no model that monai_ept has registered: name one that register has made.")
    return inside[0].parent
