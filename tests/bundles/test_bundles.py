# SPDX-License-Identifier: Apache-2.0

"""What the Model Zoo verifies, offline, and a whole life of each bundle: train, evaluate, predict, export."""

from __future__ import annotations

import csv
import json
import re
import shutil
from contextlib import nullcontext

import monai.bundle
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow, ckpt_export, onnx_export, verify_metadata, verify_net_in_out
from PIL import Image

from monai_ept.bundle import find_training
from monai_ept.delta import read_delta
from tests.bundles.cases import ROOT, SMALL, config
from tests.bundles.zoo import HEADINGS, SCHEMA
from tests.dicom_files import write_dicom
from tests.drawing import all_pictures

pytestmark = pytest.mark.filterwarnings(
    "ignore:parsing config_file",
    "ignore:no image is labelled",
    "ignore:synthetic_",
    "ignore:No hash value provided",
    "ignore:`torch.jit",
    "ignore:Converting a tensor to a Python boolean",
)

BUNDLES = sorted(folder.name for folder in ROOT.iterdir() if (folder / "configs").is_dir())

LIVES = ("ept_chest", "ept_volume")
"""Several findings in an image, and volumes. ept_derm lives in test_command_line.py, and the others differ in words."""

every_bundle = pytest.mark.parametrize("bundle", BUNDLES)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[] if name in LIVES else pytest.mark.slow) for name in BUNDLES]
)
def bundle(request):
    return request.param


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory):
    """A working directory in which the bundle has trained for an epoch."""
    folder = tmp_path_factory.mktemp(bundle)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        monai.bundle.run(
            config_file=config(bundle, "train.yaml"),
            **SMALL[bundle],
            shots=1,
            epochs=1,
            track=False,
            run_dir="runs/one",
        )
        yield folder


@every_bundle
def test_files_and_headings(bundle):
    root = ROOT / bundle
    names = {path.name for path in (root / "configs").iterdir()}
    assert names == {
        "train.yaml",
        "evaluate.yaml",
        "inference.yaml",
        "multi_gpu_train.yaml",
        "metadata.json",
        "logging.conf",
    }
    assert "Apache License" in (root / "LICENSE").read_text()
    text = (root / "docs" / "README.md").read_text()
    found = [line for line in text.splitlines() if re.match(r"#{1,3} ", line)]
    assert tuple(found) == HEADINGS
    others = set(BUNDLES) - {bundle}
    for path in root.rglob("*"):
        if path.suffix in (".yaml", ".md"):
            assert not any(other in path.read_text() for other in others), path


@every_bundle
def test_metadata(bundle, tmp_path):
    pytest.importorskip("jsonschema", reason="MONAI's verify_metadata needs jsonschema")
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    path = config(bundle, "metadata.json")
    verify_metadata(meta_file=path, filepath=str(schema))
    about = json.loads((ROOT / bundle / "configs" / "metadata.json").read_text())
    assert about["version"] in about["changelog"] and "monai_ept" in about["required_packages_version"]
    pred = about["network_data_format"]["outputs"]["pred"]
    settings = yaml.safe_load((ROOT / bundle / "configs" / "train.yaml").read_text())
    assert list(pred["channel_def"].values()) == settings["class_names"]
    untrained = yaml.safe_load((ROOT / bundle / "configs" / "inference.yaml").read_text())["training"]["untrained"]
    assert untrained["class_names"] == settings["class_names"]


def test_properties(bundle, folder):
    train = ConfigWorkflow(config(bundle, "train.yaml"), workflow_type="train", **SMALL[bundle], shots=1, track=False)
    train.initialize()
    assert train.check_properties() == []
    assert train.max_epochs == 20 and train.train_dataset_data and train.val_interval == 1
    for name in ("evaluate.yaml", "inference.yaml"):
        workflow = ConfigWorkflow(config(bundle, name), workflow_type="infer", run_dir="runs/one", track=False)
        workflow.initialize()
        assert workflow.check_properties() == [], name


@every_bundle
def test_network_before_any_training(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"meta_file": config(bundle, "metadata.json"), "config_file": config(bundle, "inference.yaml")}
    verify_net_in_out("network_def", **given, device="cpu")
    for wanted, message in (
        ({}, "there is no finished training in"),
        ({"run_dir": "here"}, "here is not the folder of"),
    ):
        with pytest.raises((RuntimeError, FileNotFoundError)) as caught:
            monai.bundle.run(config_file=given["config_file"], **wanted)
        assert message in "".join(str(error) for error in causes(caught.value))


def test_training_writes_what_it_says(bundle, folder):
    run = folder / "runs" / "one"
    there = {path.name for path in run.iterdir()}
    assert {"delta.safetensors", "last.pt", "training.json", "split.json", "history.json", "evaluation"} <= there
    assert not list(run.rglob("*.partial"))
    split = json.loads((run / "split.json").read_text())
    assert rows(run / "evaluation" / "predictions.csv").keys() == set(split["test"])


def test_epochs_and_schedule_go_together(tmp_path):
    settings = {**SMALL["ept_derm"], "shots": 1, "track": False, "run_dir": str(tmp_path / "run")}
    with pytest.raises(RuntimeError) as caught:
        monai.bundle.run(config_file=config("ept_derm", "train.yaml"), **settings, **{"train#trainer#max_epochs": 1})
    (said,) = [str(error) for error in causes(caught.value) if isinstance(error, ValueError)]
    assert said.endswith("set --epochs 1 instead.") and "\n" not in said
    assert not (tmp_path / "run").exists()


def test_evaluation_finds_what_training_found(bundle, folder):
    before = {path: path.read_bytes() for path in (folder / "runs/one").rglob("*.*")}
    monai.bundle.run(config_file=config(bundle, "evaluate.yaml"), runs="runs", track=False, num_resamples=20)
    assert {path: path.read_bytes() for path in (folder / "runs/one").rglob("*.*")} == before
    again = folder / "runs" / "one.evaluation-test"
    assert rows(again / "predictions.csv") == rows(folder / "runs/one/evaluation/predictions.csv")
    assert rows(again / "per_class.csv", "class").keys() == set(find_training("runs/one", runs="runs").class_names)
    metrics = json.loads((again / "metrics.json").read_text())["metrics"]
    assert metrics["accuracy"]["low"] <= metrics["accuracy"]["value"] <= metrics["accuracy"]["high"]


def test_inference_of_any_files(bundle, folder, capsys):
    pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")
    images = folder / "images"
    shutil.rmtree(images, ignore_errors=True)
    (images / "inside").mkdir(parents=True)
    random = np.random.default_rng(0)
    if bundle == "ept_volume":
        nibabel = pytest.importorskip("nibabel")
        for name, shape in (("a.nii.gz", (20, 30, 12)), ("inside/b.nii", (9, 8, 7))):
            volume = random.integers(-1000, 1000, shape).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), images / name)
        for number in range(6):
            slice_ = random.integers(0, 2000, (12, 10)).astype(np.uint16)
            write_dicom(images / "series" / f"{number}.dcm", slice_, slice_number=number)
        good, bad = ["a.nii.gz", "inside/b.nii", "series"], "c.nii"
    else:
        Image.fromarray(random.integers(0, 255, (70, 50, 3), dtype=np.uint8)).save(images / "a.png")
        Image.fromarray(random.integers(0, 255, (20, 300), dtype=np.uint8)).save(images / "inside" / "b.jpg")
        write_dicom(images / "d.dcm", random.integers(0, 4000, (40, 60)).astype(np.uint16))
        good, bad = ["a.png", "d.dcm", "inside/b.jpg"], "c.png"
    (images / bad).write_bytes(b"this is no image")
    (images / "notes.txt").write_text("neither is this, and it does not say so")
    monai.bundle.run(config_file=config(bundle, "inference.yaml"), run_dir="runs/one", dataset_dir="images/")
    found = rows(folder / "runs" / "one.predictions-images" / "predictions.csv")
    assert set(found) == {*good, bad}
    training = find_training("runs/one", runs="runs")
    for name in good:
        values = [float(found[name][f"probability_{one}"]) for one in training.class_names]
        assert found[name]["error"] == "" and all(0 <= value <= 1 for value in values)
        assert training.task == "multilabel" or sum(values) == pytest.approx(1, abs=1e-6)
        assert training.task == "multilabel" or found[name]["prediction"] == training.class_names[np.argmax(values)]
    assert found[bad]["error"] and not any(value for key, value in found[bad].items() if key not in ("id", "error"))
    assert f"{bad}: could not be read" in capsys.readouterr().out


def test_monais_own_tracking_goes_along(folder, bundle):
    if bundle != "ept_volume":
        pytest.skip("the handlers that MONAI adds are the same for each bundle")
    monai.bundle.run(
        config_file=config(bundle, "train.yaml"),
        **SMALL[bundle],
        shots=1,
        epochs=1,
        track=False,
        run_dir="runs/theirs",
        tracking="mlflow",
        output_dir=str(folder / "theirs"),
    )
    assert (folder / "mlruns.db").is_file()
    shutil.rmtree(folder / "runs" / "theirs")


def test_export(bundle, folder):
    source = {path: path.stat().st_mtime_ns for path in (ROOT / bundle).rglob("*")}
    monai.bundle.run("export", config_file=config(bundle, "inference.yaml"), run_dir="runs/one")
    assert source == {path: path.stat().st_mtime_ns for path in (ROOT / bundle).rglob("*")}
    ckpt_export(
        "network_def",
        filepath="runs/one.export/model.ts",
        ckpt_file="runs/one.export/model.pt",
        meta_file=config(bundle, "metadata.json"),
        config_file=config(bundle, "inference.yaml"),
        run_dir="runs/one",
        use_trace=True,
        input_shape=[1, 1, 16, 16, 16] if bundle == "ept_volume" else [1, 3, 32, 32],
    )
    network = find_training("runs/one", runs="runs").network()
    images = torch.randn(3, network.vit.in_channels, *network.vit.img_size)
    exported = torch.jit.load("runs/one.export/model.ts")
    torch.testing.assert_close(exported(images), network(images), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(("name", "views"), [("ept_derm", "turned"), ("ept_volume", "upright")])
def test_a_solved_head_with_its_views_in_every_form(name, views, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    monkeypatch.chdir(tmp_path)
    settings = {**SMALL[name], "shots": 2, "recipe": "solve", "views": views, "track": False}
    monai.bundle.run(config_file=config(name, "train.yaml"), run_dir="runs/one", **settings)
    monai.bundle.run(config_file=config(name, "inference.yaml"), run_dir="runs/one")
    training = find_training("runs/one", runs="runs")
    network = training.network()
    assert (network.readout, network.views) == (4, views)
    assert len(rows(next(tmp_path.glob("runs/one.predictions-*/predictions.csv")))) > 1

    monai.bundle.run("export", config_file=config(name, "inference.yaml"), run_dir="runs/one")
    files = {
        "ckpt_file": "runs/one.export/model.pt",
        "meta_file": config(name, "metadata.json"),
        "config_file": config(name, "inference.yaml"),
        "run_dir": "runs/one",
        "input_shape": [1, network.vit.in_channels, *network.vit.img_size],
    }
    ckpt_export("network_def", filepath="model.ts", use_trace=True, **files)
    onnx_export("network_def", filepath="model.onnx", converter_kwargs={"dynamic_axes": {"x": {0: "batch"}}}, **files)
    images = torch.randn(3, *files["input_shape"][1:])
    with torch.no_grad():
        expected = network(images).softmax(-1)
        torch.testing.assert_close(torch.jit.load("model.ts")(images).softmax(-1), expected, atol=1e-5, rtol=0)
    session = onnxruntime.InferenceSession("model.onnx")
    (answer,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer).softmax(-1), expected, atol=1e-5, rtol=0)


def causes(error):
    while error is not None:
        yield error
        error = error.__cause__


def rows(path, name="id"):
    with open(path, newline="", encoding="utf-8") as file:
        return {row[name]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", ["ept_derm", "ept_volume"])
def test_a_result_enters_the_model_registry(name, empty_database, tmp_path, monkeypatch, capfd):
    import mlflow

    monkeypatch.chdir(tmp_path)
    store = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    settings = {**SMALL[name], "shots": 1, "epochs": 1, "tracking_uri": store, "register": "small"}
    with all_pictures() if name == "ept_derm" else nullcontext():
        monai.bundle.run(config_file=config(name, "train.yaml"), run_dir="runs/one", **settings)
    assert "registry    models:/small/1" in capfd.readouterr().out
    if name == "ept_derm":
        assert (tmp_path / "runs/one/evaluation/images.png").stat().st_size > 1000
        assert "balanced accuracy" in (tmp_path / "runs/one/report.html").read_text(encoding="utf-8").lower()

    _, about = read_delta(tmp_path / "runs/one/delta.safetensors")
    images = np.random.default_rng(0).normal(size=(2, about["in_channels"], *about["img_size"])).astype(np.float32)
    assert not mlflow.is_tracking_uri_set(), "the default store must be as it was"
    mlflow.set_tracking_uri(store)
    try:
        model = mlflow.pyfunc.load_model("models:/small/1")
    finally:
        mlflow.set_tracking_uri(None)
    net = find_training("runs/one", runs="runs").network()
    with torch.no_grad():
        expected = net(torch.from_numpy(images)).softmax(-1)
    np.testing.assert_allclose(model.predict(images), expected, atol=1e-5)


def test_a_result_that_cannot_be_registered_is_kept(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monai.bundle.run(
        config_file=config("ept_volume", "train.yaml"),
        **SMALL["ept_volume"],
        shots=1,
        epochs=1,
        track=False,
        register="small",
        run_dir="runs/one",
    )
    out = capfd.readouterr().out
    assert "registry    small is not registered: " in out
    assert (tmp_path / "runs/one/delta.safetensors").is_file()
