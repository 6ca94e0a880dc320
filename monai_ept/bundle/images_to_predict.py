# SPDX-License-Identifier: Apache-2.0

"""Images to predict: any file or folder in, and one row for each, also for those that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.data import Dataset
from monai.transforms import Transform

from monai_ept.data import Record, RecordSet, SeededDataLoader
from monai_ept.data.find_files import FindFiles
from monai_ept.data.read_image import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES, is_dicom
from monai_ept.data.records import bare_records
from monai_ept.evaluation.evaluator import predict
from monai_ept.handlers import PredictionTable
from monai_ept.model import TunedViT
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.network_inputs import network_transforms

__all__ = ["CollectErrors", "ReadOrReport", "embedded_images", "find_images", "predict_records"]


def find_images(path: str | Path, spatial_dims: int = 2) -> list[Record]:
    """
    The images of a file or folder, in the order of their names.

    A folder is searched with all folders in it, each once, whatever links lead to it. In 3-D a folder that holds DICOM
    files is one volume, a series. What is neither named nor marked as an image, or is hidden, is passed over.

    Args:
        path: PNG, JPEG, TIFF, DICOM, NIfTI or NumPy file, or a folder of these.
        spatial_dims: 2 or 3.

    Raises:
        FileNotFoundError: when there is no image.

    Returns:
        records with "image" and "id", the path within the folder, where what is no UTF-8 in a name is written out.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return [{"image": str(root), "id": root.name}]
    if not root.is_dir():
        raise FileNotFoundError(f"there is no file or folder {root} with images: check the path that was given.")
    find = FindFiles()
    found = [image for image in find.below(root) if _is_image(image)]
    if find.problems:
        raise PermissionError(f"{find.problems[0]}: change its rights, or leave it out.")
    if not found:
        raise FileNotFoundError(f"there is no image in {root}: it takes PNG, JPEG, TIFF, DICOM, NIfTI and NumPy files.")
    if spatial_dims == 3:  # a series is its folder, and comes before what else is in it
        series = {image.parent for image in found if _is_slice(image)}
        pairs = [(image.parent if image.parent in series else image, image) for image in found]
        found = list(dict.fromkeys(one for pair in pairs for one in pair if one in series or not _is_slice(one)))
    return [{"image": str(image), "id": _written_out(image.relative_to(root).as_posix())} for image in found]


def _written_out(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _is_image(path: Path) -> bool:
    known = (*IMAGE_SUFFIXES, *NIFTI_SUFFIXES, *DICOM_SUFFIXES, ".npy", ".npz")
    return path.name.lower().endswith(known) or is_dicom(path)


def _is_slice(path: Path) -> bool:
    return path.name.lower().endswith(DICOM_SUFFIXES) or is_dicom(path)


def embedded_images(data: RecordSet, number: int = 16) -> list[Record]:
    """A few test images without their labels, spread over the set, for a bundle that was given none."""
    records = data.official("test") or data.records
    step = max(1, len(records) // number)
    return [{"image": record["image"], "id": record["id"]} for record in records[::step][:number]]


class ReadOrReport(Transform):
    """
    Runs a transform, and puts a black image and the reason in the place of one that cannot be read.

    Args:
        transform: from a record to what the network takes.
        network: the network, which knows the shape of its input.

    Returns:
        (of a call) "image", "id", and "error", which is empty when all went well.
    """

    def __init__(self, transform: Callable[[Mapping], Mapping], network: Any) -> None:
        self.transform = transform
        self.shape = (network.vit.in_channels, *network.vit.img_size)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            image, error = self.transform(data)["image"], ""
        except Exception as raised:  # whatever a reader makes of a broken file
            image, error = torch.zeros(self.shape), _reason(raised)
        return {"image": image, "id": data["id"], "error": error}


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:  # MONAI names the transform, its cause says what is wrong
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())


class CollectErrors:
    """
    An Ignite handler that keeps what :py:class:`ReadOrReport` could not read.

    Attributes:
        errors: the reason by id.

    Raises:
        ValueError: (at the end of a run) when not one image could be read.
    """

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}
        self._seen = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: self._begin())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, lambda _: self._end())

    def _begin(self) -> None:
        self.errors.clear()
        self._seen = 0

    def _end(self) -> None:
        if self.errors and len(self.errors) == self._seen:
            name, why = next(iter(self.errors.items()))
            raise ValueError(f"none of the {self._seen} images could be read, so there is no prediction: {name}: {why}")

    def __call__(self, engine: Any) -> None:
        batch: Mapping[str, Sequence[str]] = engine.state.batch
        self._seen += len(batch["id"])
        self.errors.update({name: error for name, error in zip(batch["id"], batch["error"], strict=True) if error})


def predict_records(
    training: FitResult,
    network: TunedViT,
    records: Sequence[Record],
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 8,
    num_workers: int = 0,
    errors: CollectErrors | None = None,
    progress: bool = False,
) -> PredictionTable:
    """
    What the network of a training says of images.

    Args:
        errors: collects what cannot be read; without it, that is an error.
    """
    network = network.to(device)
    transform: Any = network_transforms(network, **training.transform_settings)
    if errors is not None:
        transform = ReadOrReport(transform, network)
    rows = bare_records(records) if errors is None else list(records)
    loader = SeededDataLoader(Dataset(rows, transform), batch_size=batch_size, num_workers=num_workers, seed=0)
    handlers: list[Any] = [errors] if errors is not None else []
    if progress and sys.stderr.isatty():
        handlers.append(ProgressBar(desc="batches", persist=False))
    return predict(network, loader, task=training.task, device=device, handlers=handlers)
