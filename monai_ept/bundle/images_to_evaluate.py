# SPDX-License-Identifier: Apache-2.0

"""Which labelled images a bundle evaluates on, and what another training says of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from monai_ept.bundle.images_to_predict import predict_records
from monai_ept.checks import did_you_mean
from monai_ept.data import load_source
from monai_ept.data.records import Record
from monai_ept.handlers import PredictionTable
from monai_ept.runs.data_loading import choose_classes
from monai_ept.runs.fit_result import SPLIT_FILE, FitResult
from monai_ept.runs.training_record import read_json

__all__ = ["EXTERNAL", "labelled_images", "other_predictions"]

EXTERNAL = "external"
"""Instead of a part of the training's own data: every image of another labelled set."""


def labelled_images(
    training: FitResult,
    part: str,
    dataset_dir: str | os.PathLike | None = None,
    *,
    source: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Record]:
    """
    Labelled images to evaluate a training on.

    Args:
        training: the training.
        part: "test" or "val" of its own split; "external" for another labelled set.
        dataset_dir: where the training's images are now; or the other set, whose classes have the same names.
        source: how it is read; as the training's own by default.
        options: of the source.

    Raises:
        ValueError: when the other set has no folder, another task or other classes, or is the training's own.
    """
    if part != EXTERNAL:
        data = training.data(dataset_dir, source=source, options=options)
        return list(getattr(training.split(data), part))
    if dataset_dir is None:
        raise ValueError("part external evaluates on another labelled set: say where it is with --dataset_dir.")
    known = source or (training.record["data"] or {}).get("source")
    if known is None:
        raise ValueError(f"nothing says how {dataset_dir} is read: pass --source.")
    data = load_source(known, Path(dataset_dir), **dict(options or {}))
    if data.task != training.task:
        raise ValueError(f"{dataset_dir} is {data.task} and the training {training.task}: they cannot be compared.")
    names = training.class_names
    for name in data.class_names:
        if name not in names:
            raise ValueError(f"{dataset_dir} has a class {name!r} that was not trained: {did_you_mean(name, names)}")
    if data.source_hash == (read_json(training.folder / SPLIT_FILE) or {}).get("source_hash"):
        raise ValueError(f"{dataset_dir} are the images that the training had: evaluate on part test.")
    if data.task == "multilabel":
        return list(choose_classes(data, names).records)
    # A class that the other set has not is there all the same: it can be predicted wrongly.
    at = [names.index(name) for name in data.class_names]
    return [{**record, "label": at[int(record["label"])]} for record in data.records]


def other_predictions(
    against: str | os.PathLike | None,
    training: FitResult,
    records: Sequence[Record],
    *,
    device: torch.device,
    part: str = "test",
    pretrained: Any = None,
    batch_size: int = 32,
    num_workers: int = 0,
) -> tuple[str, PredictionTable] | None:
    """
    What another training says of the same images.

    Args:
        against: its folder; None where nothing is compared.
        training: the training that is evaluated.
        records: the images.
        device: where to compute.
        part: which images these are, as ``labelled_images`` was told.
        pretrained: where the backbone's weights are now, as ``FitResult.network`` takes it.
        batch_size: images at a time.
        num_workers: processes that load images.

    Raises:
        FileNotFoundError: when the folder holds no training.
        ValueError: when it has other classes, or was trained on one of the images.

    Returns:
        its name and its predictions.
    """
    if against is None:
        return None
    other = FitResult.load(against)
    if sorted(other.class_names) != sorted(training.class_names) or other.task != training.task:
        raise ValueError(f"{against} has other classes than {training.folder}: they cannot be compared.")
    split = read_json(other.folder / SPLIT_FILE) or {}
    if part == EXTERNAL:
        folder = (other.record["data"] or {}).get("dataset_dir")
        same = folder is not None and any(
            Path(folder) in Path(str(record["image"])).absolute().parents for record in records
        )
    else:
        same = split.get("source_hash") == (read_json(training.folder / SPLIT_FILE) or {}).get("source_hash")
    if same:
        seen = {*split.get("train", ()), *split.get("val", ())} & {record["id"] for record in records}
        if seen:
            raise ValueError(
                f"{against} was trained on {sorted(seen)[0]!r} and {len(seen)} of these images in all: compare it on "
                "images that neither training has seen, such as another set (part external)."
            )
    network = other.network(pretrained)
    table = predict_records(other, network, records, device=device, batch_size=batch_size, num_workers=num_workers)
    order = [other.class_names.index(name) for name in training.class_names]
    return other.folder.name or Path(against).name, PredictionTable(table.ids, table.probabilities[:, order])
