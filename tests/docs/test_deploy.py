# SPDX-License-Identifier: Apache-2.0

"""The five commands of docs/deploy.md, as they stand there, on small images and a small network of the same kind."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from monai_ept.data import load_source
from tests.dicom_files import write_dicom
from tests.docs.pages import ROOT, blocks


def commands() -> list[list[str]]:
    (text,) = (text for _, text, _ in blocks("docs/deploy.md") if "monai-ept ship runs/uni" in text)
    return [shlex.split(line) for line in text.strip().replace("\\\n", " ").splitlines()]


def save_images(folder: Path, records, class_names) -> None:
    for record in records:
        place = folder / class_names[record["label"]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(record["image"])).save(place / f"{record['id']}.png")


@pytest.mark.slow
def test_the_five_commands(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    data = load_source("synthetic_derm")
    by_class = [[r for r in data.records if r["label"] == label] for label in (0, 1)]
    names = data.class_names
    save_images(tmp_path / "my_images", [r for rows in by_class for r in rows[:16]], names)
    save_images(tmp_path / "other_hospital", [r for rows in by_class for r in rows[16:20]], names)
    for index, record in enumerate(by_class[0][20:22]):
        path = write_dicom(tmp_path / "dicom" / f"{index}.dcm", np.asarray(record["image"]), "ward", "RGB")
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2", f"1.2.{index}"
        image.save_as(path)
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", init_values=1e-5, depth=2)
    (tmp_path / "uni").mkdir()
    torch.save(network.state_dict(), tmp_path / "uni" / "pytorch_model.bin")

    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    for command in commands():
        smaller = [
            part.replace("vit_large_patch16_224", "vit_tiny_patch16_224").replace("{init", "{depth: 2, init")
            for part in command
        ]
        program = {"monai-ept": [sys.executable, "-m", "monai_ept"], "python": [sys.executable]}[smaller[0]]
        run = subprocess.run([*program, *smaller[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{shlex.join(command)}\n{run.stdout}\n{run.stderr}"
    reports = [pydicom.dcmread(path) for path in (tmp_path / "reports").glob("*.dcm")]
    assert len(reports) == 2 and all(report.Modality == "SR" and report.PatientID == "ward" for report in reports)
