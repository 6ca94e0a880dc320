# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ept import FitResult, TunedViT, fit
from monai_ept.data import few_shot_split, load_source
from monai_ept.deploy.application import write_application
from monai_ept.deploy.exported_model import folded, write_models
from monai_ept.deploy.inference_config import write_configs
from monai_ept.deploy.shipment import Expected, Shipment
from tests.dicom_files import write_dicom
from tests.drawing import no_pictures, nothing_is_drawn  # noqa: F401, a fixture
from tests.noise_files import noise_files
from tests.shared import made_once


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a small training, ``run``, and what is shipped of it, ``bundle``."""

    def make(folder):
        data = load_source("folder", noise_files(folder / "images", number=16))
        torch.manual_seed(0)
        settings = {"method": "ept", "prompt_length": 2, "img_size": 64, "class_names": data.class_names}
        recipe = {"name": "default", "num_resamples": 20}
        options = {"recipe": recipe, "out_dir": folder / "run", "track": False, "progress": False}
        with no_pictures():
            fit(TunedViT("embedded", 2, **settings), few_shot_split(data, 3), **options)
        (folder / "bundle").mkdir()
        for write in (write_configs, write_models, write_application):
            write(shipment_in(folder))

    return made_once(tmp_path_factory, "shipped", make)


def shipment_in(place, **changes):
    training = FitResult.load(place / "run")
    net = training.network()
    given = {"folder": place / "bundle", "name": "noise", "training": training, "original": net}
    given |= {"network": folded(net), "expected": Expected([], np.zeros(0), "", 0), "formats": ("ts",)}
    return Shipment(**{**given, "version": "0.3.0", "licence": "", **changes})


@pytest.fixture
def shipment(place, tmp_path):
    """The same, to be written into another folder."""
    (tmp_path / "bundle").mkdir()
    return shipment_in(place, folder=tmp_path / "bundle")


@pytest.fixture
def tested(place):
    """Paths of the test images, each with its row of the evaluation."""
    training = FitResult.load(place / "run")
    with open(place / "run" / "evaluation" / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    return [(record["image"], rows[record["id"]]) for record in training.split(training.data()).test]


@pytest.fixture
def dicom(tested, tmp_path):
    """The evaluation's images as DICOM: a series of three, one of one, a report, and files of other kinds."""
    pydicom = pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")
    folder, study = tmp_path / "dicom", pydicom.uid.generate_uid()
    written = {}
    for index, (image, row) in enumerate(tested[:4]):
        path = folder / ("first" if index < 3 else "second") / f"IM{index}"
        write_dicom(path, np.asarray(Image.open(image)), patient="P1", interpretation="RGB")
        file = pydicom.dcmread(path)
        file.StudyInstanceUID, file.SeriesInstanceUID = study, f"1.2.{3 if index < 3 else 4}"
        file.save_as(path)
        written[str(file.SOPInstanceUID)] = row
    (folder / "notes.txt").write_text("nothing")
    return folder, written
