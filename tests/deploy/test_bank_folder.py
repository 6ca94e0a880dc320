# SPDX-License-Identifier: Apache-2.0

"""Trainings of three kinds on one backbone, shipped as one folder, and what its application reports without us."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_ept import FitResult
from monai_ept.__main__ import main
from monai_ept.runs.result_kinds import what_is_in
from tests.bundles.cases import CHEST
from tests.deploy.reports import WITHOUT_US, said_in
from tests.dicom_files import write_dicom
from tests.noise_files import noise_files

pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Trainings with prompts and views, of several labels by low rank, and of norms, which do not mix."""
    place = tmp_path_factory.mktemp("runs")
    images = str(noise_files(place / "images", number=16))
    chest = ["--source", "synthetic_chest", *(f"--option={name}={value}" for name, value in CHEST.items())]
    train = ["--recipe", "train", "--epochs", "1"]
    for name, options in {
        "noise": [images],
        "chest": [*chest, "--method", "lora", "--intensity-range", "[20, 230]", *train],
        "norms": [images, "--method", "ln", *train],
    }.items():
        common = ["--shots", "2", "--img-size", "32", "--set", "num_resamples=20", "--no-track"]
        assert main(["train", *options, *common, "--out", str(place / name)]) == 0
    return place


def evaluated(run: Path) -> list[tuple[str, dict[str, str]]]:
    """Test images that are files, with the rows of the evaluation."""
    with open(run / "evaluation" / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    training = FitResult.load(run)
    return [(one["image"], rows[one["id"]]) for one in training.split(training.data()).test if one["id"] in rows]


@pytest.mark.slow
def test_a_bank_is_shipped_and_reports_each_task_where_this_package_cannot_be_imported(runs, tmp_path, capsys):
    sources = [f"{name}={runs / name}" for name in ("noise", "chest", "norms")]
    assert main(["ship", *sources, "--to", str(tmp_path / "hospital"), "--version", "1.2.0", "--check", "3"]) == 0
    said = capsys.readouterr().out
    assert "with 3 tasks" in said and "checked   on 9 images, without monai_ept" in said
    folder = tmp_path / "hospital"
    assert what_is_in(folder) == "shipped"
    assert {path.name for path in folder.iterdir() if path.name[0] != "."} == {
        *("LICENSE", "README.md", "app", "models", "tasks")
    }
    assert "one of" not in (folder / "README.md").read_text() and "ln" in (folder / "README.md").read_text()
    assert "`task1` in `../../models/model.ts`" in (folder / "tasks" / "chest" / "docs" / "README.md").read_text()
    for path in (folder / "app").glob("*.py"):
        assert "from monai_ept" not in path.read_text(), path

    images = evaluated(runs / "noise")[:3]
    for index, (image, _) in enumerate(images):
        path = write_dicom(tmp_path / "dicom" / f"IM{index}", np.asarray(Image.open(image)), "P1", "RGB")
        file = pydicom.dcmread(path)
        file.StudyInstanceUID, file.SeriesInstanceUID = "1.2", "1.2.3" if index < 2 else "1.2.4"
        file.save_as(path)
    program = [sys.executable, "-I", "-c", WITHOUT_US, str(folder / "app" / "dicom_app.py"), "--input"]
    program += [str(tmp_path / "dicom"), "--output", str(tmp_path / "reports")]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reports = [pydicom.dcmread(path) for path in (tmp_path / "reports").iterdir()]
    assert sorted((one.ManufacturerModelName, one.SoftwareVersions) for one in reports) == sorted(
        [(f"hospital {name}", "1.2.0") for name in ("noise", "chest", "norms")] * 2
    )
    assert len({one.DeviceSerialNumber for one in reports}) == 3  # each task's own weights
    uids = [str(pydicom.dcmread(tmp_path / "dicom" / f"IM{index}").SOPInstanceUID) for index in range(3)]
    for task in ("noise", "norms"):
        rows = dict(evaluated(runs / task))
        found = {}
        for path in (tmp_path / "reports").iterdir():
            if pydicom.dcmread(path).ManufacturerModelName == f"hospital {task}":
                found |= said_in(path)
        assert sorted(found) == sorted(uids)
        for uid, (image, _) in zip(uids, images, strict=True):
            expected = [float(rows[image][f"probability_{one}"]) for one in "ab"]
            assert found[uid][0] == rows[image]["prediction"] and np.allclose(found[uid][1], expected, atol=1e-5)

    done = subprocess.run([*program[:-1], str(tmp_path / "one"), "--tasks", "norms"], capture_output=True, text=True)
    assert done.returncode == 0 and "norms: " in done.stdout and "chest" not in done.stdout
    assert len(list((tmp_path / "one").iterdir())) == 2
    done = subprocess.run([*program, "--tasks", "skin"], capture_output=True, text=True)
    assert done.returncode == 2 and "hospital has no task 'skin': there is noise, chest, norms" in done.stderr
