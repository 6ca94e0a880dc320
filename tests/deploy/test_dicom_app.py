# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from monai_ept.deploy.dicom_app import find_series, main, open_bundle, report
from tests.deploy.reports import WITHOUT_US, check, said_in
from tests.dicom_files import write_dicom


def test_reports_say_what_the_evaluation_said(place, dicom, tmp_path):
    folder, written = dicom
    network = open_bundle(place / "bundle")
    series, problems = find_series(folder)
    assert not problems and sorted(len(headers) for headers in series.values()) == [1, 3]
    for headers in series.values():
        said, wrong = report(network, headers, tmp_path / "reports")
        assert not wrong and said.count("IM") == len(headers)
    reports = sorted((tmp_path / "reports").iterdir())
    check(reports, written)
    # A report is no image: it is passed over where it lies beside its images.
    reports[0].rename(folder / "report.dcm")
    assert find_series(folder)[0].keys() == series.keys()


def test_what_cannot_be_read_is_said_and_all_else_is_done(place, dicom, tmp_path):
    folder, written = dicom
    (folder / "first" / "broken.dcm").write_bytes(b"nothing of DICOM")
    cut = folder / "first" / "IM0"
    cut.write_bytes(cut.read_bytes()[:-500])
    bare = pydicom.dcmread(folder / "second" / "IM3")
    del bare.StudyInstanceUID
    bare.save_as(folder / "second" / "IM3")
    for name, tags in {
        "frames": {"NumberOfFrames": 3, "PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1},
        "palette": {"PhotometricInterpretation": "PALETTE COLOR", "SamplesPerPixel": 1},
    }.items():
        file = pydicom.dcmread(folder / "first" / "IM1")
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for tag, value in tags.items():
            setattr(file, tag, value)
        file.save_as(folder / "first" / name)
    series, problems = find_series(folder)
    for headers in series.values():
        problems += report(open_bundle(place / "bundle"), headers, tmp_path / "reports")[1]
    names = [problem.split(": ")[0].rpartition("/")[2] for problem in problems]
    assert names == ["broken.dcm", "IM0", "frames", "palette", "IM3"]
    said = ["cannot be read", "cannot be predicted", "it holds 3 frames, and an image is one", "numbers of a palette"]
    said += ["an image has no StudyInstanceUID, so that no report can refer to it.)"]
    assert all(what in problem for what, problem in zip(said, problems, strict=True))
    (path,) = (tmp_path / "reports").iterdir()
    assert len(said_in(path)) == 2 and said_in(path).keys() < written.keys()


def test_a_folder_without_images_is_an_error(tmp_path, capsys):
    assert main(["--input", str(tmp_path), "--output", str(tmp_path / "reports")]) == 1
    assert f"{tmp_path}: there is no folder with DICOM images" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


def test_a_volume_is_a_folder_with_its_slices_and_nothing_else(tmp_path):
    class Answers:
        def __init__(self) -> None:
            self.about = {"name": "a", "version": "1", "fingerprint": "f", "spatial_dims": 3}
            self.models = {"": self.about}

        def answers(self, path: str) -> dict:
            slices = [pydicom.dcmread(one) for one in Path(path).iterdir()]
            assert {one.SeriesInstanceUID for one in slices} == {"1.2.3"} and len(slices) == 3
            return {"": {"class": "a", "probability": 0.9, "probabilities": {"a": 0.9, "b": 0.1}}}

    for number in range(5):  # two series in one folder
        path = write_dicom(tmp_path / "mixed" / f"{number}.dcm", np.zeros((4, 4), np.uint8), slice_number=number)
        file = pydicom.dcmread(path)
        file.StudyInstanceUID, file.SeriesInstanceUID = "1.2", "1.2.3" if number < 3 else "1.2.4"
        file.save_as(path)
    headers = find_series(tmp_path)[0]["1.2.3"]
    said, problems = report(Answers(), headers, tmp_path / "reports")
    assert not problems and "a 0.90000" in said
    (path,) = (tmp_path / "reports").iterdir()
    (study,) = pydicom.dcmread(path).CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 3


def test_of_a_bank_each_task_has_a_report_of_its_own(tmp_path):
    class Answers:
        def __init__(self) -> None:
            self.about = {"spatial_dims": 2}
            names = ("derm", "colon")
            self.models = {name: {"name": f"ward {name}", "version": "1", "fingerprint": name} for name in names}

        def answers(self, path: str) -> dict:
            said = {name: {"class": f"{name} a", "probability": 0.9} for name in self.models}
            return {name: {**one, "probabilities": {one["class"]: 0.9, "b": 0.1}} for name, one in said.items()}

    for number in range(2):
        file = pydicom.dcmread(write_dicom(tmp_path / "in" / str(number), np.zeros((4, 4), np.uint8)))
        file.StudyInstanceUID, file.SeriesInstanceUID = "1.2", "1.2.3"
        file.save_as(tmp_path / "in" / str(number))
    said, problems = report(Answers(), find_series(tmp_path / "in")[0]["1.2.3"], tmp_path / "reports")
    assert not problems and said.count(": derm: derm a 0.9") == said.count(": colon: colon a 0.9") == 2
    found = {pydicom.dcmread(path).ManufacturerModelName: said_in(path) for path in (tmp_path / "reports").iterdir()}
    assert {name: [one[0] for one in answers.values()] for name, answers in found.items()} == {
        "ward derm": ["derm a", "derm a"],
        "ward colon": ["colon a", "colon a"],
    }


@pytest.mark.slow
def test_it_runs_where_this_package_cannot_be_imported(place, dicom, tmp_path):
    folder, written = dicom
    (folder / "broken.dcm").write_bytes(b"nothing of DICOM")
    program = [sys.executable, "-I", "-c", WITHOUT_US, str(place / "bundle" / "app" / "dicom_app.py")]
    options = ["--input", str(folder), "--output", str(tmp_path / "reports")]
    done = subprocess.run([*program, *options], capture_output=True, text=True)
    assert done.returncode == 1 and f"{folder / 'broken.dcm'}: cannot be read" in done.stderr
    check(list((tmp_path / "reports").iterdir()), written)
    (folder / "broken.dcm").unlink()
    done = subprocess.run([*program, *options[:-1], str(tmp_path / "again")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check(list((tmp_path / "again").iterdir()), written)
