# SPDX-License-Identifier: Apache-2.0

"""Finished trainings: of ``fit``, of a bundle, and the folders in ``of_release_0.1`` that release 0.1 has written."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import monai.bundle
import pytest
import torch
from monai.data import Dataset

from monai_ept import FitResult, TunedViT, fit
from monai_ept.data import SeededDataLoader, few_shot_split, load_source
from monai_ept.engines import Training, evaluate
from monai_ept.runs import find_training, make_network, network_transforms
from tests.bundles.cases import CHEST, DERM, FEW, config

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file", "ignore:synthetic_")

OLD = Path(__file__).parent / "of_release_0.1"
HERE = {"source": "synthetic_derm", "options": {**DERM, "lazy": True}}


@pytest.fixture(scope="module")
def fitted(empty_database, tmp_path_factory):
    """What ``fit`` returns, recorded in MLflow."""
    folder = tmp_path_factory.mktemp("fit")
    data = load_source(HERE["source"], **HERE["options"])
    torch.manual_seed(0)
    method = {"name": "ept", "prompt_length": 3}
    net = TunedViT("embedded", data.num_classes, method=method, img_size=32, class_names=data.class_names)
    track = {"tracking_uri": f"sqlite:///{shutil.copy(empty_database, folder)}"}
    recipe = {"name": "train", "epochs": 2, "num_resamples": 20}
    return fit(
        net, few_shot_split(data, 1), data=data, recipe=recipe, out_dir=folder / "run", track=track, progress=False
    )


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """The folder of a training by bundle."""
    folder = tmp_path_factory.mktemp("bundle") / "run"
    settings = {"source_options": DERM, "img_size": 32, "shots": 1, "epochs": 1, "prompt_length": 3, **FEW}
    monai.bundle.run(config_file=config("ept_derm", "train.yaml"), **settings, track=False, run_dir=str(folder))
    return folder


@pytest.fixture(params=["fit", "bundle", "fit of 0.1", "bundle of 0.1"])
def training(request):
    """A finished training, and what one must say of its data since nothing on disk does."""
    if request.param == "fit":
        return request.getfixturevalue("fitted").folder, {}
    if request.param == "bundle":
        return request.getfixturevalue("bundled"), {}
    return OLD / request.param.split()[0], HERE if request.param.startswith("fit") else {}


def test_load_is_what_fit_returned(fitted):
    loaded = FitResult.load(fitted.folder)
    for field in dataclasses.fields(FitResult):
        if field.name != "paths":
            assert getattr(loaded, field.name) == getattr(fitted, field.name), field.name
    assert loaded.run_id and loaded.epoch == 2 and loaded.intervals["accuracy"].low <= loaded.metrics["accuracy"]
    assert loaded.paths == {name: fitted.paths[name] for name in loaded.paths}
    assert set(loaded.paths) >= {"delta", "split", "record", "history", "checkpoint"}
    assert str(loaded) == str(fitted)


def test_the_network_finds_again_what_was_found(training):
    folder, about = training
    result = FitResult.load(folder)
    net = result.network()
    data = result.data(**about)
    test = result.split(data).test
    assert not net.training and tuple(net.class_names) == result.class_names and net.methods[0].prompt_length == 3
    images = Dataset([{key: record[key] for key in ("image", "label", "id")} for record in test])
    images.transform = network_transforms(net, **result.transform_settings)
    loader = SeededDataLoader(images, batch_size=8, seed=0)
    found = evaluate(net, loader, task=result.task, class_names=result.class_names, num_resamples=0)
    with open(folder / "evaluation" / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    for identity, probabilities in zip(found.table.ids, found.table.probabilities, strict=True):
        written = [float(rows[identity][f"probability_{name}"]) for name in result.class_names]
        assert written == pytest.approx(probabilities.tolist(), abs=1e-4)
    assert found.metrics["accuracy"] == result.metrics["accuracy"]
    assert result.epoch == len(result.history) > 0


def test_random_weights_of_a_backbone_are_those_of_its_seed(tmp_path):
    data = load_source(HERE["source"], **HERE["options"])
    settings = {"backbone": "test_vit", "img_size": 32, "seed": 3}
    net = make_network(data.class_names, **settings)
    split = dataclasses.replace(few_shot_split(data, 1), test=[])
    Training(net, split, "solve", folder=tmp_path / "run", origin={"network": settings}, progress=False).run()
    torch.rand(5)
    assert FitResult.load(tmp_path / "run").network().fingerprint() == net.fingerprint()


def test_a_notebook_shows_the_metrics(fitted):
    shown = fitted._repr_html_()
    assert "<table" in shown and str(fitted.folder / "delta.safetensors") in shown
    for name in fitted.intervals:
        assert f"<td>{fitted.metrics[name]:.3f}</td>" in shown


def test_data_that_moved(bundled, tmp_path):
    """A bundle's record knows its data; they may be in another folder now, or of another kind."""
    result = FitResult.load(bundled)
    with pytest.raises(ValueError, match=r"nowhere"):
        result.data(tmp_path / "nowhere", options={})
    assert len(result.data(options={**DERM, "num_per_class": 2}).records) == len(result.data().records) - 14
    assert result.data(source="synthetic_chest", options=CHEST).task == "multilabel"


def test_the_newest_is_found(tmp_path, bundled):
    with pytest.raises(FileNotFoundError) as caught:
        find_training(runs=tmp_path)
    assert sentence(caught).startswith("there is no finished training in")
    for name, source in (("older", OLD / "fit"), ("newer", bundled)):
        shutil.copytree(source, tmp_path / name, copy_function=shutil.copy)
    assert find_training(runs=tmp_path).folder == tmp_path / "newer"
    assert find_training(tmp_path / "older", runs=tmp_path).folder == tmp_path / "older"


@pytest.mark.parametrize(
    ("file", "content", "error", "says"),
    [
        ("delta.safetensors", None, FileNotFoundError, "it has no delta.safetensors"),
        ("split.json", None, FileNotFoundError, "it has no split.json"),
        ("training.json", None, FileNotFoundError, "has no training.json"),
        ("training.json", "{", ValueError, "does not describe a training"),
        ("training.json", json.dumps({"format": "another"}), ValueError, "its format is 'another'"),
        ("training.json", json.dumps({"format": "monai_ept training 2"}), ValueError, "'class_names'"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(file, content, error, says, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(OLD / "bundle", folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(error) as caught:
        FitResult.load(folder)
    assert says in sentence(caught) and str(folder) in sentence(caught)


def test_nobody_knows_how_the_images_are_read(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(OLD / "fit", folder)
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "source": "my own"}))
    with pytest.raises(ValueError) as caught:
        FitResult.load(folder).data()
    assert "says how its images are read: pass --source" in sentence(caught)


def sentence(caught):
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text
