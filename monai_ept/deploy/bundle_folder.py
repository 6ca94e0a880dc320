# SPDX-License-Identifier: Apache-2.0

"""A finished training as a bundle that works without this package: written in parts, checked, and only then there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.utils import optional_import

from monai_ept.checks import check_whole
from monai_ept.data import RecordSet
from monai_ept.data.views import test_views
from monai_ept.deploy.application import write_application
from monai_ept.deploy.exported_model import check_formats, folded, write_models
from monai_ept.deploy.inference_config import write_configs
from monai_ept.deploy.model_card import write_documents
from monai_ept.deploy.shipment import Shipment
from monai_ept.deploy.verification import Check, expected_of, process_without_us, verify
from monai_ept.deploy.zoo import check_version, write_zoo_files
from monai_ept.files import full_disk_is_said
from monai_ept.model import TunedViT
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.result_folder import ResultFolder
from monai_ept.shipped import list_shipped, shipped_path

__all__ = ["PARTS", "UNSAID", "Shipped", "apache", "check_shipping", "ship", "with_size"]

PARTS: tuple[Callable[[Shipment], None], ...] = (
    write_configs,
    write_models,
    write_documents,
    write_application,
    write_zoo_files,
)
"""What writes the parts of a bundle, one after another; each may read what those before it have written."""

UNSAID = "Nobody has said under which licence the images may be used: monai-ept ship --data-license FILE says it.\n"


@dataclass(frozen=True)
class Shipped:
    """
    A bundle that was shipped.

    Args:
        folder: where it is.
        shipment: what it was written from.
        differences: the largest difference of a probability from what was expected, by format.
        seconds: what a pass through the network takes here for an image; each view is one.
    """

    folder: Path
    shipment: Shipment
    differences: dict[str, float]
    seconds: float

    def __str__(self) -> str:
        sent, expected = self.shipment, self.shipment.expected
        models = sorted((self.folder / "models").iterdir())
        passes = len(test_views(sent.network.views))
        each = f": {passes} views of {1000 * self.seconds:,.0f} ms" if passes > 1 else ""
        worst = ", ".join(f"model.{name} {value:.1g}" for name, value in self.differences.items())
        return "\n".join(
            [
                f"shipped   {self.folder}: {', '.join(map(with_size, models))}",
                f"an image  {1000 * passes * self.seconds:,.0f} ms on this CPU{each}",
                f"checked   on {len(expected.records)} of {expected.total} images, without monai_ept, against "
                f"{expected.source}; largest difference of a probability: {worst}",
                f"run it    cd {self.folder} && python -m monai.bundle run --config_file configs/inference.json "
                "--dataset_dir IMAGES",
            ]
        )


def ship(
    training: FitResult,
    to: str | os.PathLike,
    *,
    formats: Sequence[str] = ("ts",),
    check: int | None = 8,
    data: RecordSet | None = None,
    pretrained: Any = None,
    version: str = "0.1.0",
    modality: str = "",
    licence: str | None = None,
    data_licence: str = UNSAID,
    zoo: bool = False,
    overwrite: bool = False,
) -> Shipped:
    """
    Make a self-contained MONAI bundle of a finished training, which needs MONAI and PyTorch and not this package.

    Args:
        training: the training.
        to: the bundle's folder.
        formats: "ts", "pt2", "onnx".
        check: on how many images of its evaluation the bundle is checked; None for all.
        data: its data, where they are not where the training read them.
        pretrained: weights of the backbone, where they are not where the training read them.
        version: of the bundle, three numbers.
        modality: of the images, for its metadata.
        licence: text of the bundle's LICENSE, by default the Apache License 2.0.
        data_licence: text on the licence of the images.
        zoo: add what MONAI's Model Zoo asks for.
        overwrite: replace a bundle that was shipped there before, once this one is complete.

    Raises:
        ValueError: when an argument is wrong, or the bundle does not give the probabilities of the evaluation.
        FileExistsError: when there is something in the folder already.
        WriteError: when the folder cannot be written.

    Example::

        shipped = ship(FitResult.load("runs/first"), "first_classification", formats=["ts", "onnx"])
    """
    wanted = check_formats(formats)
    check_shipping(version, check)
    with (
        ResultFolder(to, "shipped", overwrite=overwrite) as place,
        full_disk_is_said(to),
        process_without_us() as other,
    ):
        original = training.network(pretrained)
        network = folded(original)
        shipment = Shipment(
            folder=place.begin(),
            name=place.folder.name,
            training=training,
            original=original,
            network=network,
            expected=expected_of(training, network, training.data() if data is None else data, check),
            formats=wanted,
            version=version,
            licence=licence or apache(),
            data_licence=data_licence,
            zoo=zoo,
            modality=modality,
        )
        for write in PARTS:
            write(shipment)
        (differences,) = verify([Check.of(shipment)], other)
        place.deliver()
    return Shipped(place.folder, shipment, differences, _seconds_of_a_pass(network))


def check_shipping(version: str, check: int | None) -> None:
    """
    Refuse what nothing could be shipped with.

    Raises:
        ImportError: when what reads DICOM is not installed.
        ValueError: when one of them is wrong.
    """
    if not optional_import("pydicom")[1]:
        raise ImportError("a shipped bundle reads DICOM, with pydicom: pip install monai_ept[dicom].")
    check_version(version)
    if check is not None:
        check_whole("check", check)


def apache() -> str:
    """The text of the Apache License 2.0."""
    return (shipped_path("bundle", list_shipped("bundle")[0]) / "LICENSE").read_text("utf-8")


def with_size(path: Path) -> str:
    """The name of a file, and how large it is."""
    return f"{path.name} ({path.stat().st_size / 1e6:,.0f} MB)"


def _seconds_of_a_pass(network: TunedViT) -> float:
    image = torch.zeros(1, network.vit.in_channels, *network.vit.img_size)
    with torch.inference_mode():
        began = time.perf_counter()
        network.features(image)
    return time.perf_counter() - began
