# SPDX-License-Identifier: Apache-2.0

"""Finished trainings on one backbone as one folder that works without this package: a bundle for each, one network."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ept.deploy.application import about_model, write_programs
from monai_ept.deploy.bundle_folder import UNSAID, apache, check_shipping, with_size
from monai_ept.deploy.exported_bank import member_of, write_bank_model
from monai_ept.deploy.exported_model import folded
from monai_ept.deploy.inference_config import write_configs
from monai_ept.deploy.model_card import write_documents
from monai_ept.deploy.shipment import Shipment
from monai_ept.deploy.verification import Check, expected_of, process_without_us, verify
from monai_ept.files import full_disk_is_said, write_whole
from monai_ept.reporting.prose import template
from monai_ept.runs.bank_sources import write_bank
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.result_folder import ResultFolder

__all__ = ["ShippedBank", "ship_bank"]


@dataclass(frozen=True)
class ShippedBank:
    """
    A bank that was shipped.

    Args:
        folder: where it is.
        checks: for each task what it was checked on.
        differences: by task, the largest difference of a probability from what was expected.
    """

    folder: Path
    checks: dict[str, Check]
    differences: dict[str, float]

    def __str__(self) -> str:
        images = sum(len(check.expected.records) for check in self.checks.values())
        worst = ", ".join(f"{name} {value:.1g}" for name, value in self.differences.items())
        model = with_size(self.folder / "models" / "model.ts")
        return "\n".join(
            [
                f"shipped   {self.folder}: {model} with {len(self.checks)} tasks",
                f"checked   on {images} images, without monai_ept, each task against its own training; largest "
                f"difference of a probability: {worst}",
                f"run it    python {self.folder / 'app' / 'dicom_app.py'} --input FOLDER_OF_DICOM --output REPORTS",
            ]
        )


def ship_bank(
    trainings: Mapping[str, FitResult],
    to: str | os.PathLike,
    *,
    check: int | None = 8,
    pretrained: Any = None,
    version: str = "0.1.0",
    modality: str = "",
    licence: str | None = None,
    data_licence: str = UNSAID,
    overwrite: bool = False,
) -> ShippedBank:
    """
    Make one folder of several finished trainings on one backbone, which needs MONAI and PyTorch and not this package.

    Args:
        trainings: by the names of their tasks.
        to: the folder.
        check: on how many images of its evaluation each task is checked; None for all.
        pretrained: weights of the backbone, where they are not where the first training read them.
        version: of the bank and its tasks; this and what follows as :py:func:`ship` has it.

    Raises:
        ValueError: when an argument is wrong, or a task does not give the probabilities of its evaluation.
        DeltaError: when a training has another backbone, or another size of images, than the first.
        FileExistsError: when there is something in the folder already.
        WriteError: when the folder cannot be written.

    Example::

        trainings = {name: FitResult.load(f"runs/{name}") for name in ("derm", "colon")}
        ship_bank(trainings, "hospital")
    """
    check_shipping(version, check)
    with (
        ResultFolder(to, "shipped", overwrite=overwrite) as place,
        full_disk_is_said(to),
        process_without_us() as other,
    ):
        with tempfile.TemporaryDirectory() as files:
            bank = write_bank(files, trainings, pretrained=pretrained)
        folder, name = place.begin(), place.folder.name
        for part in ("models", "tasks"):
            (folder / part).mkdir()
        numbers = write_bank_model(bank, folder / "models" / "model.ts")
        licence = licence or apache()
        tasks: dict[str, Any] = {}
        checks = {}
        for task, training in trainings.items():  # one after another, since each has the whole backbone
            original = training.network(pretrained)
            network = folded(original)
            shipment = Shipment(
                folder=folder / "tasks" / task,
                name=f"{name} {task}",
                training=training,
                original=original,
                network=network,
                expected=expected_of(training, network, training.data(), check),
                formats=("ts",),
                version=version,
                licence=licence,
                data_licence=data_licence,
                modality=modality,
                member=member_of(bank, task),
            )
            shipment.folder.mkdir()
            write_configs(shipment)
            write_documents(shipment)
            tasks[task] = {**about_model(shipment), "number": numbers.get(task), "member": shipment.member}
            checks[task] = Check.of(shipment)
        about = {"name": name, "version": version, "spatial_dims": bank.vit.spatial_dims, "tasks": tasks}
        write_programs(folder / "app", about)
        write_whole(folder / "LICENSE", licence.rstrip() + "\n")
        names = {task: trainings[task].class_names for task in tasks}
        readme = template(Path(__file__).with_name("bank_readme.md.jinja")).render(about=about, names=names, bank=bank)
        write_whole(folder / "README.md", readme)
        differences = verify(list(checks.values()), other)
        place.deliver()
    found = {task: one["ts"] for task, one in zip(checks, differences, strict=True)}
    return ShippedBank(place.folder, checks, found)
