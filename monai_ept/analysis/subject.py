# SPDX-License-Identifier: Apache-2.0

"""What is to be analysed, from what a user can name: a run, its folder, or a delta file."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ept.data import FewShotSplit, RecordSet, list_sources, load_source
from monai_ept.data.records import Record
from monai_ept.delta import read_delta
from monai_ept.files import usable_folder
from monai_ept.model import TunedViT
from monai_ept.networks.embedded_weights import EMBEDDED_RANDOM

__all__ = ["Subject", "find_subject", "record_analysis"]

logger = logging.getLogger(__name__)

FILES = ("delta.safetensors", "split.json")
TRAINING, SETTINGS = "training.json", "settings.json"


@dataclass(frozen=True)
class Subject:
    """
    A trained network and its images.

    Args:
        net: the network.
        images: its split, or records of a data set where no split is known.
        data: the whole data set.
        delta: the delta file.
        val: validation images where there is no split; a split has its own.
        folder: folder of the training, whose MLflow run is added to; None where only a delta file is known.
        run_id: the MLflow run, where it was named and has no folder here.
        tracking_uri: the store of that run.
        transform_settings: what the training gave its transforms.
    """

    net: TunedViT
    images: FewShotSplit | list[Record]
    data: RecordSet
    delta: Path
    val: list[Record] | None = None
    folder: Path | None = None
    run_id: str | None = None
    tracking_uri: str | None = None
    transform_settings: dict[str, Any] = field(default_factory=dict)


def find_subject(
    *,
    run: str | os.PathLike | None = None,
    delta: str | os.PathLike | None = None,
    pretrained: str | None = None,
    source: str | None = None,
    dataset_dir: str | Path | None = None,
    split: str | os.PathLike | None = None,
    options: Mapping[str, Any] | None = None,
    tracking_uri: str | None = None,
    out_dir: str | os.PathLike = "analysis",
) -> Subject:
    """
    Build the network and find the images.

    Args:
        run: folder of a training by ``fit`` or by a bundle, or the id of a run in MLflow.
        delta: a delta file, instead of a run.
        pretrained: weights of the backbone: a path, "true" (hub) or "false". By default those that a bundle recorded;
            otherwise the hub's; the embedded backbone has its own.
        source: name of the data source, that of the run by default.
        dataset_dir: where the images are.
        split: the split, as ``FewShotSplit.save`` wrote it; that of the run by default.
        options: options of the source.
        tracking_uri: the store of a run that is named by its id.
        out_dir: where the files of such a run are downloaded to, in a folder "run", if they are not here.

    Raises:
        ValueError: when something is missing or does not go together.
        FileNotFoundError: when there is no such run or file.
        DataError: when the data are not those of the split.
        ConnectionError: when MLflow does not answer.
    """
    if (run is None) == (delta is None):
        raise ValueError("name what to analyse with either --run or --delta.")
    run_id = None
    if delta is None:
        assert run is not None
        folder: Path | None = Path(run).expanduser()
        assert folder is not None
        if not folder.is_dir():
            found = _local_folder(str(run))
            if found is None:
                folder, run_id = _downloaded(str(run), tracking_uri, Path(out_dir) / "run"), str(run)
            else:
                folder = found
        for name in FILES:
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder} has no {name}: it is not the folder of a finished training; pass --delta instead."
                )
        path = folder / FILES[0]
        split = split or folder / FILES[1]
        if (folder / TRAINING).is_file() and source is None:
            return _of_bundle(folder, path, pretrained, dataset_dir, split, run_id, tracking_uri)
        source = source or _recorded_source(folder)
    else:
        path, folder = Path(delta).expanduser(), None
        if source is None:
            raise ValueError(f"a delta does not say what images it is for: pass --source, one of {_sources()}.")
    about = read_delta(path).metadata  # before images are read, which may take long
    data = load_source(source, dataset_dir, **(options or {}))
    _check_classes(about, data, path)
    net = TunedViT.from_delta(path, pretrained=_weights(pretrained, about["backbone"]["name"]))
    images, val = _images(data, split)
    return Subject(net, images, data, path, val, None if run_id else folder, run_id, tracking_uri)


def record_analysis(subject: Subject, numbers: Mapping[str, float], files: Sequence[Path], calibrated: bool) -> str:
    """
    Add an analysis to the MLflow run of the training.

    Args:
        subject: what was analysed.
        numbers: scalars, recorded as ``analysis/<name>``.
        files: what was written, put into the folder ``analysis`` of the run.
        calibrated: whether the delta has got a temperature and is to be put into the run again.

    Returns:
        a sentence on what was done.
    """
    artifacts: dict[str, Sequence[Path]] = {"analysis": files, **({"model": [subject.delta]} if calibrated else {})}
    if subject.run_id is not None:
        from monai_ept.tracking.mlflow_client import open_client, patience, tracking_store, without_password

        uri = tracking_store(subject.tracking_uri)
        with patience():
            client = open_client(uri)
            for name, value in numbers.items():
                client.log_metric(subject.run_id, f"analysis/{name}", value)
            for folder, paths in artifacts.items():
                for path in paths:
                    client.log_artifact(subject.run_id, str(path), folder)
        return f"MLflow      added to run {subject.run_id} in {without_password(uri)}"
    from monai_ept.handlers import MLflowTracking

    if subject.folder is None:
        return ""
    tracking = MLflowTracking(attach_to=subject.folder, tracking_uri=subject.tracking_uri)
    sent = tracking.finish(numbers, artifacts, prefix="analysis")
    if tracking.run is None:
        return ""
    return f"MLflow      {'added to' if sent else 'records kept for'} run {tracking.run_id}"


def _of_bundle(
    folder: Path,
    delta: Path,
    pretrained: str | None,
    dataset_dir: str | Path | None,
    split: str | os.PathLike,
    run_id: str | None,
    tracking_uri: str | None,
) -> Subject:
    """A bundle's training records how its network and its data are built."""
    from monai_ept.runs.fit_result import find_training

    training = find_training(folder, runs=folder)
    data = training.data(dataset_dir)
    net = training.network(pretrained)
    images = FewShotSplit.load(Path(split), data)
    return Subject(
        net,
        images,
        data,
        delta,
        folder=None if run_id else folder,
        run_id=run_id,
        tracking_uri=tracking_uri,
        transform_settings=training.transform_settings,
    )


def _images(
    data: RecordSet, split: str | os.PathLike | None
) -> tuple[FewShotSplit | list[Record], list[Record] | None]:
    if split is not None:
        if not Path(split).is_file():
            raise FileNotFoundError(f"split {split} does not exist: pass what FewShotSplit.save wrote.")
        return FewShotSplit.load(Path(split), data), None
    images = data.official("test")
    if not images:
        logger.warning(
            "there is no split and %s has no official test images: all images are analysed, and those that the network "
            "was trained on among them make it look better than it is; --split names the split.",
            data.name,
        )
        return list(data.records), None
    return images, data.official("val")


def _recorded_source(folder: Path) -> str:
    """The source of a training by ``fit``: its settings name the data set, which usually is the source's name too."""
    try:
        name = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["source"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    if name not in list_sources():
        what = "nothing there says" if name is None else f"its data set {name!r} does not say"
        raise ValueError(f"{folder}: {what} how its images are read: pass --source, one of {_sources()}.")
    return str(name)


def _check_classes(about: Mapping[str, Any], data: RecordSet, path: Path) -> None:
    names = about.get("class_names")
    if about["num_classes"] != data.num_classes or (names and list(names) != list(data.class_names)):
        raise ValueError(
            f"delta {path} is for {about['num_classes']} classes ({', '.join(names or ['without names'])}) and "
            f"{data.name} has {data.num_classes} ({', '.join(data.class_names)}): pass the images it was trained for."
        )


def _sources() -> str:
    return ", ".join(list_sources())


def _weights(pretrained: str | None, backbone: str) -> bool | str:
    if pretrained is None:
        return backbone != EMBEDDED_RANDOM
    return {"true": True, "false": False}.get(pretrained.strip().lower(), pretrained)


def _local_folder(run_id: str) -> Path | None:
    """The folder in ``runs`` whose run has that id."""
    from monai_ept.tracking.tracked_run import RUN_FILE, read_about

    for path in sorted(Path("runs").glob(f"*/{RUN_FILE}")):
        about = read_about(path.parent)
        if about is not None and about.get("run_id") == run_id and (path.parent / FILES[0]).is_file():
            return path.parent
    return None


def _downloaded(run_id: str, tracking_uri: str | None, folder: Path) -> Path:
    """The files of a run in MLflow that its network and data are built from."""
    from monai_ept.tracking import mlflow_client as store

    uri = store.tracking_store(tracking_uri)
    where = store.without_password(uri)
    if store.missing_database(uri):
        raise FileNotFoundError(f"{run_id} is no folder, and there is no {where} that could have a run of that id.")
    with store.patience():
        try:
            client = store.open_client(uri)
            client.get_run(run_id)
            usable_folder(folder)
            there = {item.path for part in ("model", "data", "config") for item in client.list_artifacts(run_id, part)}
            wanted = {f"model/{FILES[0]}", f"data/{FILES[1]}", f"config/{TRAINING}", f"config/{SETTINGS}"}
            with tempfile.TemporaryDirectory() as scratch:
                for item in sorted(wanted & there):
                    shutil.copy(client.download_artifacts(run_id, item, scratch), folder / Path(item).name)
        except Exception as error:
            reason = store.reason_of(error, uri)
            raise FileNotFoundError(f"{run_id} is neither a folder nor a run at {where}: {reason}") from error
    return folder
