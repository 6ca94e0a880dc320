# SPDX-License-Identifier: Apache-2.0

"""The network to be analysed and its images, from what a user can name: a run, its folder, or a delta file."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.data import Dataset

from monai_ept.data import FewShotSplit, RecordSet, SeededDataLoader, list_sources, load_source
from monai_ept.data.records import Record
from monai_ept.delta import read_delta
from monai_ept.engines.set_calibration import sets_of_validation
from monai_ept.evaluation.evaluator import predict
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.model import TunedViT
from monai_ept.runs.build_network import network_of_bare_delta
from monai_ept.runs.find_run import finished_run
from monai_ept.runs.network_inputs import network_transforms

__all__ = ["NetworkAndImages", "find_network_and_images", "record_analysis", "sets_at"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkAndImages:
    """A trained network and its images."""

    net: TunedViT
    images: FewShotSplit | list[Record]  # its split, or records of a data set where no split is known
    data: RecordSet  # the whole data set
    delta: Path
    val: list[Record] | None = None  # validation images where there is no split; a split has its own
    folder: Path | None = None  # of the training, whose MLflow run is added to; None where it is not here
    run_id: str | None = None  # the MLflow run, where it was named and has no folder here
    tracking_uri: str | None = None  # the store of that run
    transform_settings: dict[str, Any] = field(default_factory=dict)  # what the training gave its transforms


def find_network_and_images(
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
) -> NetworkAndImages:
    """
    Build the network and find the images.

    Args:
        run: folder of a training by ``fit`` or by a bundle, or the id of a run in MLflow.
        pretrained: weights of the backbone: a path, "true" (hub) or "false". By default those that a bundle recorded;
            otherwise the hub's; the embedded backbone has its own.
        split: the split, as ``FewShotSplit.save`` wrote it; that of the run by default.
        out_dir: where the files of such a run are downloaded to, in a folder "run", if they are not here.

    Raises:
        ValueError: when something is missing or does not go together.
        FileNotFoundError: when there is no such run or file.
        DataError: when the data are not those of the split.
        ConnectionError: when MLflow does not answer.
    """
    if (run is None) == (delta is None):
        raise ValueError("name what to analyse with either --run or --delta.")
    if run is not None:
        result, run_id = finished_run(run, Path(out_dir) / "run", tracking_uri=tracking_uri)
        path = result.delta_path
        data = result.data(dataset_dir, source=source, options=options or None)
        _check_classes(read_delta(path).metadata, data, path)
        net = result.network(pretrained)
        images, val = _images(data, split or result.paths["split"])
        folder = None if run_id else result.folder
        return NetworkAndImages(net, images, data, path, val, folder, run_id, tracking_uri, result.transform_settings)
    assert delta is not None
    path = Path(delta).expanduser()
    if source is None:
        sources = ", ".join(list_sources())
        raise ValueError(f"a delta does not say what images it is for: pass --source, one of {sources}.")
    about = read_delta(path).metadata  # before images are read, which may take long
    data = load_source(source, dataset_dir, **(options or {}))
    _check_classes(about, data, path)
    net = network_of_bare_delta(path, pretrained)
    images, val = _images(data, split)
    return NetworkAndImages(net, images, data, path, val)


def sets_at(temperature: float, trained: NetworkAndImages, val: Sequence[Record]) -> PredictionSets | None:
    """Give the network a temperature that was found on validation images, and find prediction sets anew with it."""
    net = trained.net
    net.temperature = temperature
    loader = SeededDataLoader(
        Dataset(list(val), network_transforms(net, **trained.transform_settings)), batch_size=32, seed=0
    )
    train = getattr(trained.images, "train", [])
    device = next(net.parameters()).device
    table = predict(net, loader, task=trained.data.task, device=device)
    return sets_of_validation(table, val, train, task=trained.data.task, chose=True)


def record_analysis(
    found: NetworkAndImages, numbers: Mapping[str, float], files: Sequence[Path], calibrated: bool
) -> str:
    """
    Add an analysis to the MLflow run of the training.

    Args:
        numbers: scalars, recorded as ``analysis/<name>``.
        files: what was written, put into the folder ``analysis`` of the run.
        calibrated: whether the delta has got a temperature and is to be put into the run again.

    Returns:
        a sentence on what was done.
    """
    artifacts: dict[str, Sequence[Path]] = {"analysis": files} | ({"model": [found.delta]} if calibrated else {})
    if found.run_id is not None:
        from monai_ept.tracking.address import tracking_store, without_password
        from monai_ept.tracking.mlflow_client import open_client, patience

        uri = tracking_store(found.tracking_uri)
        with patience():
            client = open_client(uri)
            for name, value in numbers.items():
                client.log_metric(found.run_id, f"analysis/{name}", value)
            for folder, paths in artifacts.items():
                for path in paths:
                    client.log_artifact(found.run_id, str(path), folder)
        return f"MLflow      added to run {found.run_id} in {without_password(uri)}"
    if found.folder is None:
        return ""
    from monai_ept.handlers import MLflowTracking

    tracking = MLflowTracking(attach_to=found.folder, tracking_uri=found.tracking_uri)
    sent = tracking.finish(numbers, artifacts, prefix="analysis")
    how = "added to" if sent else "records kept for"
    return "" if tracking.run is None else f"MLflow      {how} run {tracking.run_id}"


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


def _check_classes(about: Mapping[str, Any], data: RecordSet, path: Path) -> None:
    names = about.get("class_names")
    if about["num_classes"] != data.num_classes or (names and list(names) != list(data.class_names)):
        raise ValueError(
            f"delta {path} is for {about['num_classes']} classes ({', '.join(names or ['without names'])}) and "
            f"{data.name} has {data.num_classes} ({', '.join(data.class_names)}): pass the images it was trained for."
        )
