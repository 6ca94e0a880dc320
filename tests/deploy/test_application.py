# SPDX-License-Identifier: Apache-2.0

"""DICOM in, DICOM out: by the application where this package is not, and by the rules of MONAI Deploy."""

from __future__ import annotations

import ast
import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import MapTransform
from PIL import Image
from pydicom.uid import generate_uid

from monai_ept import TunedViT, fit
from monai_ept.data import few_shot_split, load_source
from monai_ept.deploy.application import PROGRAMS, write_application
from monai_ept.deploy.dicom_app import find_series, main, open_bundle, report
from monai_ept.deploy.exported_model import folded, write_models
from monai_ept.deploy.inference_config import write_configs
from monai_ept.deploy.shipment import Expected, Shipment
from tests.dicom_files import write_dicom
from tests.noise_files import noise_files


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """What is shipped of a small training, its images, and what its evaluation said of them."""
    place = tmp_path_factory.mktemp("shipped")
    data = load_source("folder", noise_files(place / "images", number=16))
    torch.manual_seed(0)
    net = TunedViT("test_vit", 2, method="ept", prompt_length=2, img_size=64, class_names=data.class_names)
    split = few_shot_split(data, 3)
    recipe = {"name": "default", "num_resamples": 20}
    training = fit(net, split, recipe=recipe, out_dir=place / "run", track=False, progress=False)
    net.eval()
    shipment = Shipment(
        folder=place / "bundle",
        name="noise",
        training=training,
        original=net,
        network=folded(net),
        expected=Expected([], np.zeros(0), "", 0),
        formats=("ts",),
        version="0.3.0",
        licence="",
    )
    shipment.folder.mkdir()
    for write in (write_configs, write_models, write_application):
        write(shipment)
    with open(training.folder / "evaluation" / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    return shipment.folder, [(record["image"], rows[record["id"]]) for record in split.test]


@pytest.fixture
def dicom(bundle, tmp_path):
    """The evaluation's images as DICOM: a series of three, one of one, a report, and files of other kinds."""
    folder, study = tmp_path / "dicom", generate_uid()
    written = {}
    for index, (image, row) in enumerate(bundle[1][:4]):
        path = folder / ("first" if index < 3 else "second") / f"IM{index}"
        write_dicom(path, np.asarray(Image.open(image)), patient="P1", interpretation="RGB")
        file = pydicom.dcmread(path)
        file.StudyInstanceUID, file.SeriesInstanceUID = study, f"1.2.{3 if index < 3 else 4}"
        file.save_as(path)
        written[str(file.SOPInstanceUID)] = row
    (folder / "notes.txt").write_text("nothing")
    return folder, written


def said_in(path: Path) -> dict[str, list[float]]:
    """Class and probabilities in a report by the image that they are of."""
    (measurements,) = [item for item in pydicom.dcmread(path).ContentSequence if item.ValueType == "CONTAINER"]
    found = {}
    for group in measurements.ContentSequence:
        (image,) = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
        (said,) = [item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121071"]
        numbers = [item.MeasuredValueSequence[0] for item in group.ContentSequence if item.ValueType == "NUM"]
        answer = said.ConceptCodeSequence[0].CodeMeaning, [float(one.NumericValue) for one in numbers]
        found[str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)] = answer
    return found


def check(reports: list[Path], written: dict) -> None:
    assert len(reports) == 2 and {pydicom.dcmread(path).Modality for path in reports} == {"SR"}
    found = {uid: answer for path in reports for uid, answer in said_in(path).items()}
    assert found.keys() == written.keys()
    for uid, (name, probabilities) in found.items():
        assert name == written[uid]["prediction"]
        assert np.allclose(probabilities, [float(written[uid][f"probability_{one}"]) for one in "ab"], atol=1e-5)
    assert np.ptp([values[0] for _, values in found.values()]) > 1e-3


def test_reports_say_what_the_evaluation_said(bundle, dicom, tmp_path):
    folder, written = dicom
    network = open_bundle(bundle[0])
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


def test_what_cannot_be_read_is_said_and_all_else_is_done(bundle, dicom, tmp_path):
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
        problems += report(open_bundle(bundle[0]), headers, tmp_path / "reports")[1]
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


WITHOUT_US = """
import os, runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "monai_ept":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
del sys.argv[0]
sys.path[0:0] = [os.path.dirname(sys.argv[0])]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_the_application_runs_where_this_package_cannot_be_imported(bundle, dicom, tmp_path):
    folder, written = dicom
    (folder / "broken.dcm").write_bytes(b"nothing of DICOM")
    program = [sys.executable, "-I", "-c", WITHOUT_US, str(bundle[0] / "app" / "dicom_app.py")]
    options = ["--input", str(folder), "--output", str(tmp_path / "reports")]
    done = subprocess.run([*program, *options], capture_output=True, text=True)
    assert done.returncode == 1 and f"{folder / 'broken.dcm'}: cannot be read" in done.stderr
    check(list((tmp_path / "reports").iterdir()), written)
    (folder / "broken.dcm").unlink()
    done = subprocess.run([*program, *options[:-1], str(tmp_path / "again")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check(list((tmp_path / "again").iterdir()), written)


def test_programs_import_each_other_and_nothing_else_of_ours(bundle):
    app = bundle[0] / "app"
    assert {*PROGRAMS, "app.py", "__main__.py"} == {path.name for path in app.glob("*.py")}
    for path in app.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        assert not {name for name in imported if name.startswith("monai_ept")}, path
        local = {"app", *(Path(name).stem for name in PROGRAMS)}
        known = sys.stdlib_module_names | local | {"monai", "torch", "pydicom"}
        assert {name.partition(".")[0] for name in imported} <= known, path


# ------------------------------------------- what MONAI Deploy's App SDK 4.0.0 does in MonaiBundleInferenceOperator


def filter_compose(compose, disallowed):
    """Its own rule: what has one of these texts in the name of its class is taken out of ``.transforms``."""
    kept = [step for step in compose.transforms if not any(name in type(step).__name__ for name in disallowed)]
    compose.transforms = tuple(kept)
    return compose


def test_the_sdk_reads_the_configurations_and_takes_the_loader_out(bundle, dicom):
    # It looks into model.ts alone: extra/ in the archive, below a folder named like the file.
    with zipfile.ZipFile(bundle[0] / "models" / "model.ts") as archive:
        meta = json.loads(archive.read("model/extra/metadata.json"))
        config = json.loads(archive.read("model/extra/inference.json"))
    parser = ConfigParser()
    parser.read_meta(meta)
    parser.read_config(config)
    parser.parse()
    data_format = parser["_meta_"]["network_data_format"]
    assert list(data_format["inputs"]) == ["image"] and list(data_format["outputs"]) == ["pred"]
    whole = parser.get_parsed_content("preprocessing")
    (load,) = [step for step in whole.transforms if "LoadImage" in type(step).__name__]
    (path, *_) = sorted((dicom[0] / "first").iterdir())
    expected = whole({"image": str(path)})["image"]
    kept = filter_compose(whole, ["LoadImage", "SaveImage"])
    assert load not in kept.transforms and isinstance(kept.transforms[0], MapTransform)  # it is given a dictionary
    loaded = load({"image": str(path)})["image"]
    given = MetaTensor.ensure_torch_and_prune_meta(loaded, loaded.meta)
    assert torch.equal(kept({"image": given})["image"], expected)
    after = filter_compose(parser.get_parsed_content("postprocessing"), ["LoadImage", "SaveImage"])
    network = torch.jit.load(bundle[0] / "models" / "model.ts").eval()
    inferer = parser.get_parsed_content("inferer")
    (logits,) = tuple(inferer(inputs=expected[None].as_tensor(), network=network))
    said = after({"pred": logits, "image": expected})
    row = dicom[1][str(pydicom.dcmread(path).SOPInstanceUID)]
    assert np.allclose(
        list(said["probabilities"].values()), [float(row[f"probability_{one}"]) for one in "ab"], atol=1e-5
    )
