# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from monai_ept import TunedViT, fit
from monai_ept.__main__ import main
from monai_ept.analysis import analysis
from monai_ept.analysis.network_and_images import find_network_and_images
from monai_ept.data import FewShotSplit, few_shot_split, load_source
from monai_ept.delta import read_delta
from tests.engines.scenes import pictures

BACKBONE = "test_vit"


@pytest.fixture(autouse=True)
def draws_nothing(monkeypatch):
    """What figures look like is for test_analysis.py."""
    monkeypatch.setattr(analysis, "analyze", partial(analysis.analyze, draw=False))


@pytest.fixture(scope="module")
def place(empty_database, tmp_path_factory):
    """Weights, a data set on disk, and a training with a run in MLflow."""
    root = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    save_file(timm.create_model(BACKBONE, num_classes=0).state_dict(), root / "weights.safetensors")
    from PIL import Image

    for record in pictures(72).records:
        folder = root / "shapes" / record.get("split", "train") / str(record["label"])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(record["image"]).save(folder / f"{record['group']}_{record['id']}.png")
    data = load_source("folder", root / "shapes", group_pattern=r"(\d+_\d+)_")
    split = few_shot_split(data, 2, val="shots")
    torch.manual_seed(0)
    net = TunedViT(BACKBONE, 3, prompt_length=4, pretrained=root / "weights.safetensors", class_names=data.class_names)
    fit(
        net,
        split,
        data=data,
        epochs=1,
        out_dir=root / "run",
        tracking_uri=f"sqlite:///{shutil.copy(empty_database, root)}",
        progress=False,
        num_resamples=5,
    )
    return root


@pytest.fixture
def run(place, tmp_path, monkeypatch):
    """A copy of the training's folder, and the arguments that say where everything else is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(place / "run", tmp_path / "run")
    images = ["--source", "folder", "--dataset_dir", str(place / "shapes")]
    images += ["--option", r"group_pattern=(\d+_\d+)_"]
    return tmp_path / "run", ["--pretrained", str(place / "weights.safetensors"), *images]


def test_a_folder_is_analysed_calibrated_and_recorded(run, place, capsys):
    folder, rest = run
    plain = read_delta(folder / "delta.safetensors")
    assert main(["analyze", "--run", str(folder), *rest, "--calibrate"]) == 0
    said = capsys.readouterr().out
    assert (
        "The within-class spread (trace of Σ_W)" in said and "stored in" in said and "MLflow      added to run" in said
    )
    assert (folder / "analysis" / "analysis.html").is_file()
    tuned = read_delta(folder / "delta.safetensors")
    assert all(torch.equal(tuned.tensors[name], value) for name, value in plain.tensors.items())
    numbers = json.loads((folder / "analysis" / "analysis.json").read_text())["numbers"]
    assert tuned.metadata["temperature"] == pytest.approx(numbers["temperature"])
    # Sets were found anew at that temperature, on images that have chosen it.
    assert tuned.metadata["prediction_sets"]["source"] == "selection"
    assert tuned.metadata["prediction_sets"] != plain.metadata["prediction_sets"]

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    record = client.get_run(run_id)
    assert record.info.status == "FINISHED"
    assert record.data.metrics["analysis/within_tuned"] == pytest.approx(numbers["within_tuned"])
    assert {"analysis/analysis.html", "analysis/distances.csv"} <= {
        item.path for item in client.list_artifacts(run_id, "analysis")
    }

    # The run's id alone is enough where its folder is not: the delta that was put into the run has the temperature.
    shutil.move(folder, folder.parent / "elsewhere")
    assert main(["analyze", "--run", run_id, *rest, "--tracking-uri", f"sqlite:///{place / 'mlflow.db'}"]) == 0
    assert f"added to run {run_id}" in capsys.readouterr().out
    kept = folder.parent / "analysis"
    assert read_delta(kept / "run" / "delta.safetensors").metadata["temperature"] == tuned.metadata["temperature"]
    again = json.loads((kept / "analysis.json").read_text())["numbers"]
    assert again == pytest.approx(numbers)


def test_a_delta_file_and_its_split(run, capsys):
    folder, rest = run
    given = ["analyze", "--delta", str(folder / "delta.safetensors"), *rest]
    assert main([*given, "--split", str(folder / "split.json"), "--out", "one", "--max_images", "20"]) == 0
    assert "MLflow" not in capsys.readouterr().out
    with_split = json.loads(Path("one/analysis.json").read_text())
    assert with_split["numbers"]["temperature"] > 0
    split = FewShotSplit.load(folder / "split.json", load_source("folder", rest[5], group_pattern=r"(\d+_\d+)_"))
    # Without a split the official test images are taken; nobody knows which others trained it.
    options = {"group_pattern": r"(\d+_\d+)_"}
    found = find_network_and_images(
        delta=given[2], pretrained=rest[1], source="folder", dataset_dir=rest[5], options=options
    )
    assert [record["id"] for record in found.images] == [record["id"] for record in split.test]
    assert found.val == [] and found.folder is None
    assert main([*given, "--calibrate"]) == 2
    assert "--calibrate needs validation images" in capsys.readouterr().err


def test_errors_are_one_sentence(run, place, capsys):
    folder, rest = run
    synthetic = ["--source", "synthetic", "--option", "lazy=true"]
    cases = {
        "name what to analyse with either --run or --delta": [],
        "a delta does not say what images": ["--delta", str(folder / "delta.safetensors")],
        "nowhere is no folder, and there is no": ["--run", "nowhere"],
        "has no delta.safetensors": ["--run", str(place / "shapes"), *rest],
        "split none.json does not exist": ["--delta", str(folder / "delta.safetensors"), *rest, "--split", "none.json"],
        "weights": ["--run", str(folder), "--pretrained", "false", *rest[2:]],
        "is for 3 classes": ["--delta", str(folder / "delta.safetensors"), *synthetic],
    }
    for sentence, arguments in cases.items():
        assert main(["analyze", *arguments]) == 2, sentence
        # The last line: other tests may have left loggers behind that complain of a stream that is gone.
        assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert read_delta(folder / "delta.safetensors").metadata.get("temperature") is None


def test_a_run_knows_how_its_images_are_read(run, place):
    folder, rest = run
    found = find_network_and_images(run=folder, pretrained=rest[1])
    assert found.folder == folder and len(found.images.val) > 0
    assert np.isfinite(found.net.head[1].weight.detach().numpy()).all()
    shutil.copytree(place / "shapes", place / "moved")
    moved = find_network_and_images(run=folder, pretrained=rest[1], dataset_dir=place / "moved")
    assert all("moved" in str(record["image"]) for record in moved.images.test)


def test_a_bundles_training_needs_nothing_else(place, tmp_path, capsys):
    from monai_ept.engines import Training
    from monai_ept.runs.build_network import make_network
    from monai_ept.runs.data_loading import load_data

    drawn = {"num_per_class": 3, "num_test_per_class": 3, "img_size": 32}
    images = {"source": "synthetic_derm", "options": drawn}
    network = {"backbone": BACKBONE, "pretrained": str(place / "weights.safetensors"), "img_size": 32, "method": "damp"}
    data = load_data(**images)
    net = make_network(data.class_names, **network)
    origin = {"name": "ept_derm", "data": images, "network": network, "transforms": {"keep_aspect": True}}
    Training(net, few_shot_split(data, 1), data=data, folder=tmp_path / "trained", origin=origin).begin()
    net.save_delta(tmp_path / "trained" / "delta.safetensors")
    capsys.readouterr()
    assert main(["analyze", "--run", str(tmp_path / "trained")]) == 0
    said = capsys.readouterr().out
    assert "c is fixed at 4.6" in said and "no validation images" in said and "MLflow" not in said
    page = (tmp_path / "trained" / "analysis" / "analysis.html").read_text(encoding="utf-8")
    assert "21 test images of synthetic_derm" in page and "32×32" in page
    assert find_network_and_images(run=tmp_path / "trained").transform_settings == {"keep_aspect": True}
