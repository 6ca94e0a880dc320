# SPDX-License-Identifier: Apache-2.0

"""A training is shipped whole: the files, what they say, and the probabilities that they give without this package."""

from __future__ import annotations

import copy
import csv
import json
import re

import monai.bundle
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from monai.data import Dataset
from PIL import Image

from monai_ept import FitResult, TunedViT, fit
from monai_ept.__main__ import main
from monai_ept.data import SeededDataLoader, few_shot_split, load_source
from monai_ept.deploy import ship
from monai_ept.evaluation.evaluator import predict
from monai_ept.runs.network_inputs import network_transforms
from monai_ept.runs.result_kinds import what_is_in
from tests.bundles.cases import CHEST, DERM, SMALL, config
from tests.bundles.zoo import HEADINGS, SCHEMA
from tests.dicom_files import write_dicom

pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A head solved on two lesions of each class, with a class that is looked for."""
    data = load_source("synthetic_derm", lazy=True, **DERM)
    torch.manual_seed(0)
    net = TunedViT(
        "embedded", data.num_classes, method="ept", img_size=32, class_names=data.class_names, views="upright"
    )
    folder = tmp_path_factory.mktemp("runs") / "first"
    recipe = {"name": "default", "num_resamples": 20}
    split = few_shot_split(data, 2, 0)
    fit(net, split, data=data, recipe=recipe, positive="mel", out_dir=folder, track=False, progress=False)
    return FitResult.load(folder)


@pytest.fixture(scope="module")
def shipped(training, tmp_path_factory):
    place = tmp_path_factory.mktemp("shipped")
    said = "CC0, drawn by code\n"
    return ship(training, place / "derm_classification", check=None, zoo=True, version="1.2.0", data_licence=said)


def test_the_files_without_this_package_say_what_the_evaluation_says(shipped):
    assert shipped.shipment.expected.total == len(shipped.shipment.expected.records) == 7
    assert set(shipped.differences) == {"ts"} and shipped.differences["ts"] <= 1e-5
    assert re.search(r"4 views of \d+ ms", str(shipped)) and "checked   on 7 of 7 images" in str(shipped)
    assert what_is_in(shipped.folder) == "shipped"


def test_what_is_written(shipped):
    names = {str(path.relative_to(shipped.folder)) for path in shipped.folder.rglob("*") if path.is_file()}
    wanted = {"configs/inference.json", "configs/metadata.json", "configs/logging.conf", "models/model.pt"}
    assert names >= wanted | {"models/model.ts", "docs/README.md", "docs/data_license.txt", "LICENSE"}
    assert "monai_ept" not in (shipped.folder / "configs" / "inference.json").read_text()
    assert (shipped.folder / "docs" / "data_license.txt").read_text() == "CC0, drawn by code\n"
    assert "Apache License" in (shipped.folder / "LICENSE").read_text()
    # The file alone is a bundle to MONAI Deploy.
    inside = {"inference.json": "", "metadata.json": ""}
    torch.jit.load(shipped.folder / "models" / "model.ts", _extra_files=inside)
    assert json.loads(inside["inference.json"]) == json.loads((shipped.folder / "configs/inference.json").read_text())
    assert json.loads(inside["metadata.json"])["version"] == "1.2.0"


def test_the_card_says_what_was_measured(shipped, training):
    text = (shipped.folder / "docs" / "README.md").read_text()
    assert tuple(line for line in text.splitlines() if re.match(r"#{1,3} ", line)) == HEADINGS
    auc = training.intervals["auc"]
    assert re.search(rf"\| auc +\| {auc.value:.3f} +\| {auc.low:.3f} to {auc.high:.3f} ", text)
    assert "mel, claimed from 0.5 on" in text and training.metrics["baseline"]["said"] in text
    assert "mean over 4 views" in text and "no probability differed" in text
    assert training.record["params"]["backbone_fingerprint"] in text and str(training.folder) not in text
    assert max(map(len, text.splitlines())) < 700 and "\n\n\n" not in text


def test_what_the_zoo_verifies(shipped, tmp_path):
    pytest.importorskip("jsonschema", reason="MONAI's verify_metadata needs jsonschema")
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    meta, inference = (str(shipped.folder / "configs" / f"{name}.json") for name in ("metadata", "inference"))
    verify_metadata(meta_file=meta, filepath=str(schema))
    given = {"meta_file": meta, "config_file": inference, "bundle_root": str(shipped.folder)}
    verify_net_in_out("network_def", device="cpu", **given)
    weights = str(shipped.folder / "models" / "model.pt")
    ckpt_export("network_def", filepath=str(tmp_path / "again.ts"), ckpt_file=weights, **given)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(torch.jit.load(tmp_path / "again.ts")(images), shipped.shipment.network(images))
    workflow = ConfigWorkflow(inference, workflow_type="infer", bundle_root=str(shipped.folder), logging_file=False)
    workflow.initialize()
    assert workflow.check_properties() == []


def test_images_of_a_folder(shipped, training, tmp_path):
    """In the process of this test, as MONAI's command does it."""
    images = tmp_path / "images"
    (images / "inside").mkdir(parents=True)
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (70, 50, 3), dtype=np.uint8)).save(images / "a.png")
    write_dicom(images / "inside" / "no_suffix", random.integers(0, 4000, (40, 60)).astype(np.uint16))
    (images / "notes.txt").write_text("no image")
    monai.bundle.run(
        config_file=str(shipped.folder / "configs" / "inference.json"),
        bundle_root=str(shipped.folder),
        dataset_dir=str(images),
        output_dir=str(tmp_path / "out"),
    )
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = {row.pop("id"): [float(cell) for cell in row.values()] for row in csv.DictReader(file)}
    paths = [str(images / "a.png"), str(images / "inside" / "no_suffix")]
    assert list(rows) == paths
    net = training.network()
    records = [{"image": path, "id": path} for path in paths]
    expected = predict(net, SeededDataLoader(Dataset(records, network_transforms(net)), batch_size=2)).probabilities
    np.testing.assert_allclose(list(rows.values()), expected, atol=1e-5)


def test_what_monai_label_asks_for(shipped, tmp_path):
    """As its ``BundleInferTask`` calls what is there; the package itself has too many requirements for a test."""
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(image)
    parser = ConfigParser()
    parser.read_config(shipped.folder / "configs" / "inference.json")
    parser.config["bundle_root"] = str(shipped.folder)
    network = copy.deepcopy(parser.get_parsed_content("network_def"))
    network.load_state_dict(torch.load(shipped.folder / "models" / "model.pt"), strict=True)
    data = {"image": str(image)}
    for step in parser.get_parsed_content("preprocessing").transforms:
        data = step(data)
    assert "spatial_shape" not in data["image"].meta, "probabilities would be resized to that"
    data["pred"] = network(data["image"][None])[0].detach()
    for step in parser.get_parsed_content("postprocessing").transforms:
        data = step(data)
    assert data["pred"].array.sum() == pytest.approx(1, abs=1e-6)
    assert list(data["probabilities"]) == list(shipped.shipment.class_names)


def test_a_folder_that_is_there_stays(shipped, training):
    before = (shipped.folder / "models" / "model.ts").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="holds a shipped bundle already: --overwrite replaces it"):
        ship(training, shipped.folder)
    assert (shipped.folder / "models" / "model.ts").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_temperature_that_was_found_later_counts(training, tmp_path):
    from monai_ept.delta import store_temperature

    kept = training.delta_path.read_bytes()
    try:
        store_temperature(training.delta_path, 1.7)
        made = ship(training, tmp_path / "out")
    finally:
        training.delta_path.write_bytes(kept)
    assert made.differences["ts"] <= 1e-5
    assert "divided by 1.7000, a temperature" in (made.folder / "docs" / "README.md").read_text()


TRAINED = {"recipe": "train", "epochs": 1}
TUNED = {"recipe": "tune", "epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "warmup_steps": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bundle", "settings"),
    [
        ("ept_derm", {"method": "lora", **TRAINED}),
        ("ept_derm", {"method": ["ept", "ln"], **TUNED}),
        ("ept_derm", {"method": "linear", "recipe": "default", "views": "turned"}),
        ("ept_chest", {"source_options": CHEST, "recipe": "default"}),
        ("ept_volume", {"recipe": "default"}),
        ("ept_volume", {"method": "vpt", "intensity_range": [-160, 240], **TRAINED}),
    ],
    ids=["lora", "tuned", "turned", "chest", "volume", "window"],
)
def test_each_kind_of_training_in_every_format(bundle, settings, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    monkeypatch.chdir(tmp_path)
    given = {**SMALL[bundle], "shots": 1, "track": False, "run_dir": "runs/one", **settings}
    monai.bundle.run(config_file=config(bundle, "train.yaml"), **given)
    assert main(["ship", "runs/one", "--to", "sent", "--check", "all", "--formats", "ts", "pt2", "onnx"]) == 0
    said = capsys.readouterr().out
    differences = [float(one) for one in re.findall(r"model\.\w+ (\d\S*e-\d+|0)[,\n]", said)]
    assert len(differences) == 3 and max(differences) <= 1e-5
