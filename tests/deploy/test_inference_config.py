# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from importlib.metadata import version

import pytest

from monai_ept.deploy.inference_config import csv_header, metadata, write_configs


def test_a_header_that_csv_readers_read():
    names = ["nevus", "melanoma, in situ", 'so "called"']
    (row,) = csv.reader(io.StringIO(csv_header(names)))
    assert row == ["id", *(f"probability_{name}" for name in names)]


def test_metadata_says_what_goes_in_and_comes_out(shipment):
    about = metadata(replace(shipment, modality="dermoscopy", formats=("ts", "onnx")))
    assert (about["name"], about["version"], about["task"]) == ("noise", "0.3.0", "Multi-class image classification")
    assert about["monai_version"] == version("monai") and "onnxruntime" in about["required_packages_version"]
    assert (
        about["label_classes"] == "0: a, 1: b" and about["pred_classes"] == "2 logits; softmax makes them probabilities"
    )
    image, pred = about["network_data_format"]["inputs"]["image"], about["network_data_format"]["outputs"]["pred"]
    assert (image["modality"], image["spatial_shape"], image["num_channels"]) == ("dermoscopy", [64, 64], 3)
    assert image["channel_def"] == {"0": "R", "1": "G", "2": "B"} and pred["channel_def"] == {"0": "a", "1": "b"}
    assert about["eval_metrics"]["accuracy"] == pytest.approx(shipment.training.metrics["accuracy"])
    low, high = image["value_range"]
    vit = shipment.network.vit
    assert low == pytest.approx(min(-m / s for m, s in zip(vit.mean, vit.std, strict=True)), abs=1e-6) and high > 0


def test_configurations_are_plain_and_run_what_was_asked_for(shipment):
    write_configs(replace(shipment, formats=("pt2", "ts")))
    config = json.loads((shipment.folder / "configs" / "inference.json").read_text())
    assert list(config["networks"]) == ["pt2", "ts"] and config["network_def"] == "@networks#pt2"
    assert config["class_names"] == ["a", "b"] and "monai_ept" not in json.dumps(config)


def test_a_member_of_a_bank_takes_its_network_out_of_the_banks_file(shipment):
    write_configs(replace(shipment, member="task1"))
    config = json.loads((shipment.folder / "configs" / "inference.json").read_text())
    assert config["networks"]["ts"].endswith("/../../models/model.ts', map_location=@device).tasks.task1")
