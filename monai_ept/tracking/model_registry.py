# SPDX-License-Identifier: Apache-2.0

"""The model registry: a trained network under a name, to be loaded where nothing of its training is known."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from monai_ept.checks import check_choice
from monai_ept.tracking.address import ForeignAddressError, own_store, tracking_store
from monai_ept.tracking.mlflow_client import as_default_store, open_client, patience, trouble_of
from monai_ept.tracking.run_file import read_about

if TYPE_CHECKING:
    from monai_ept.model import TunedViT

__all__ = ["NEWEST", "Package", "Registered", "name_and_alias", "publish", "register_model", "run_and_store"]

NEWEST = "newest"
"""The alias of the version that was registered last; MLflow keeps "latest" for itself."""


class Registered(NamedTuple):
    """A version of a registered model; ``uri`` is what ``mlflow.pyfunc.load_model`` takes."""

    name: str
    version: str
    uri: str


def register_model(
    net: TunedViT,
    name: str,
    run_folder: str | os.PathLike,
    *,
    example: Any,
    task: str = "multiclass",
    backbone: dict[str, Any] | None = None,
    transforms: Mapping[str, Any] | None = None,
    tracking_uri: str | None = None,
) -> Registered:
    """Register a trained network as a new version of a model, and add it to the run of its training.

    The registered model takes image files or tensors, and answers with probabilities. It is the delta, the backbone's
    weights and a configuration: this package loads it, without a pickle, and folds it where its method can be.

    Args:
        net: the trained network, not folded.
        name: name of the registered model, created if need be. ``derm-ept@champion`` also gives the version an alias,
            which takes it from another; the alias ``newest`` always goes to the version that was registered last.
        run_folder: folder of the training's run, or the run's id in MLflow.
        example: images as the network takes them, normalised, ``(images, channels, *img_size)``; the first is kept as
            the input example, so it must be one that may be passed on.
        task: "multiclass" or "multilabel".
        backbone: how to build a backbone that was given as a module: ``{"_target_": "monai.networks.nets.ViT", …}``.
        transforms: what ``network_transforms`` was given in the training, such as an ``intensity_range``.
        tracking_uri: the store; the run's own by default, if it is the one configured here.

    Raises:
        ValueError: when the run has not reached its store, the network cannot be rebuilt, or MLflow refuses the name.
        ConnectionError: when the store does not answer.

    Example::

        >>> register_model(net, "derm-ept", "runs/first", example=images)
        Registered(name='derm-ept', version='1', uri='models:/derm-ept/1')
        >>> mlflow.pyfunc.load_model("models:/derm-ept/1").predict(pandas.DataFrame({"image": [file.read_bytes()]}))
    """
    check_choice("task", task, ("multiclass", "multilabel"))
    name, alias = name_and_alias(name)
    run_id, uri = run_and_store(run_folder, name, tracking_uri)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        folder.mkdir()
        from monai_ept.tracking.model_files import save_model_files

        save_model_files(net, folder, task, backbone, transforms)
        vit = net.vit
        metadata = {
            "class_names": list(net.class_names or []),
            "task": task,
            "input": "a table with a column 'image' (bytes of a file, or base64) or 'path'; or tensors",
            "tensors": "images scaled to 0…1, resized, then (image - mean) / std; the output is probabilities",
            "img_size": list(vit.img_size),
            "mean": list(vit.mean or []),
            "std": list(vit.std or []),
            "interpolation": vit.interpolation,
        }
        package = Package(
            folder,
            loader="monai_ept.tracking.pyfunc_model",
            answers={task: net.prediction_sets is not None},
            metadata=metadata,
            example=np.asarray(example, dtype=np.float32)[:1],
        )
        return publish(package, name, alias, run_id, uri)


class Package(NamedTuple):
    """
    What is registered.

    Args:
        folder: the files of the model.
        loader: the module with ``_load_pyfunc``.
        answers: the kinds of tasks that are answered, each with whether the answers have prediction sets.
        metadata: what MLflow says of the model.
        example: of an input.
    """

    folder: Path
    loader: str
    answers: Mapping[str, bool]
    metadata: Mapping[str, Any]
    example: Any


def publish(package: Package, name: str, alias: str | None, run_id: str, uri: str) -> Registered:
    """
    Register a model's files as a new version, and add them to a run.

    Raises:
        ConnectionError: when the store does not answer.
    """
    try:
        with patience():
            client = open_client(uri)
            run = client.get_run(run_id)
        # The weights of a large backbone take longer than our patience with small requests.
        with as_default_store(uri):
            model_id = _upload(client, run.info, package)
            return _new_version(client, name, alias, model_id, run_id)
    except (ValueError, TypeError):
        raise
    except Exception as error:
        raise ConnectionError(
            f"model {name!r} could not be registered, and the training is not touched: {trouble_of(error, uri)}."
        ) from error


def _checked_name(name: Any) -> str:
    """Refuse a name that MLflow's registry refuses, before any work."""
    if (
        not isinstance(name, str)
        or not name.strip()
        or not name.isprintable()
        or re.search("[/:]", name)
        or len(name) > 250
    ):
        raise ValueError(
            f"a registered model's name has 1 to 250 characters in one line without / and :, got {repr(name)[:60]}."
        )
    return name


def name_and_alias(text: Any) -> tuple[str, str | None]:
    """
    A model's name, and the alias behind it that its new version gets, as MLflow's addresses have it.

    Raises:
        ValueError: when MLflow would refuse either.

    Example::

        >>> name_and_alias("derm-ept@champion")
        ('derm-ept', 'champion')
    """
    name, at, alias = _checked_name(text).partition("@")
    _checked_name(name)
    if not at:
        return name, None
    if not re.fullmatch(r"[\w-]{1,250}", alias, re.ASCII) or re.fullmatch(r"latest|v\d+", alias, re.I):
        raise ValueError(
            f"alias {alias!r} of model {name!r} must be letters, digits, - and _, and neither latest nor v1, v2, …"
        )
    return name, alias


def run_and_store(run: str | os.PathLike, name: str, tracking_uri: str | None) -> tuple[str, str]:
    """
    The id of a run and the store that it is in.

    Args:
        run: its folder, or its id in MLflow.
        tracking_uri: the store, if it is not the run's own.

    Raises:
        ValueError: when the run has not reached its store, or that is not one that the user has named.
    """
    about = read_about(run)
    if about is None and re.fullmatch("[0-9a-f]{32}", str(run)):
        return str(run), tracking_store(tracking_uri)
    if about is None or not about.get("run_id"):
        raise ValueError(
            f"{run} holds no run that has reached MLflow: train with tracking, or run 'monai-ept sync' first."
        )
    try:
        return about["run_id"], own_store(about, tracking_uri)
    except ForeignAddressError as error:
        raise ValueError(f"model {name!r} is not registered for {run}: {error}.") from error


def _upload(client: Any, info: Any, package: Package) -> str:
    import mlflow.pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import Schema

    # MLflow takes a model for a folder of the run's artifacts if it is named like one, such as "model".
    logged = client.create_logged_model(info.experiment_id, name="registered-model", source_run_id=info.run_id)
    try:
        with tempfile.TemporaryDirectory() as place:
            target = Path(place) / "mlflow"
            mlflow.pyfunc.save_model(
                str(target),
                loader_module=package.loader,
                data_path=str(package.folder),
                mlflow_model=Model(run_id=info.run_id, model_uuid=logged.model_id, model_id=logged.model_id),
                # MLflow knows columns or tensors and not both, so that the model itself checks what it is given.
                signature=ModelSignature(outputs=Schema(_columns(package.answers))),
                input_example=package.example,
                pip_requirements=[f"{name}=={_release(name)}" for name in ("monai_ept", "monai", "timm", "torch")],
                metadata=dict(package.metadata),
            )
            client.log_model_artifacts(logged.model_id, str(target))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def _new_version(client: Any, name: str, alias: str | None, model_id: str, run_id: str) -> Registered:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(name, source=f"models:/{model_id}", run_id=run_id, model_id=model_id)
    for one in dict.fromkeys((NEWEST, alias or NEWEST)):
        client.set_registered_model_alias(name, one, made.version)
    return Registered(name, str(made.version), f"models:/{name}/{made.version}")


def _columns(answers: Mapping[str, bool]) -> list[Any]:
    """What an answer consists of, of which several kinds of tasks share what MLflow has a name for."""
    from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Map

    text, number = DataType.string, DataType.double
    columns: dict[str, Any] = {"class": text, "probability": number}
    if "multilabel" in answers:
        columns = {name: Array(kind) if len(answers) == 1 else AnyType() for name, kind in columns.items()}
    columns |= {"probabilities": Map(number)} | ({"set": Array(text)} if any(answers.values()) else {})
    return [ColSpec(kind, name, required=not isinstance(kind, AnyType)) for name, kind in columns.items()]


def _release(package: str) -> str:
    """A version as a package index knows it, without the build that is installed here."""
    return version(package).partition("+")[0]
