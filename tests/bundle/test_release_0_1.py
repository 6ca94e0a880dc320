# SPDX-License-Identifier: Apache-2.0

"""A bundle's folder as release 0.1 had it, in ``of_release_0.1``, does with this release what it did."""

from __future__ import annotations

import json
from pathlib import Path

import monai.bundle
import pytest
import torch
from safetensors.torch import load_file

from monai_ept import TunedViT
from monai_ept.bundle import release_0_1
from monai_ept.runs import FitResult
from tests.bundles.cases import DERM, config

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file", "ignore:synthetic_")

OLD = Path(__file__).parent / "of_release_0.1" / "ept_derm" / "configs"
ANEW = pytest.warns(FutureWarning, match="copy the bundle anew with 'monai-ept bundle copy'")


def train(config_file, folder, **more):
    settings = {"source_options": DERM, "img_size": 32, "shots": 1, "epochs": 2, "track": False, **more}
    monai.bundle.run(config_file=str(config_file), run_dir=str(folder), **settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of a training by the bundle of release 0.1."""
    folder = tmp_path_factory.mktemp("old") / "run"
    with ANEW:
        train(OLD / "train.yaml", folder)
    return folder


def test_it_trains_what_the_bundle_of_today_trains(trained, tmp_path):
    train(config("ept_derm", "train.yaml"), tmp_path / "today", recipe="train")
    old, today = FitResult.load(trained), FitResult.load(tmp_path / "today")
    tensors, same = (load_file(result.delta_path) for result in (old, today))
    assert tensors.keys() == same.keys() and all(torch.equal(tensors[name], same[name]) for name in tensors)
    assert old.metrics == today.metrics and old.intervals == today.intervals and old.history == today.history
    assert old.record["recipe"] == {**today.record["recipe"], "val_interval": None, "key_metric": None}
    since = {"readout": None, "backbone_settings": None}
    assert {**since, **old.record["network"], "recipe": None} == {**today.record["network"], "recipe": None}
    assert old.record["name"] == today.record["name"] == "ept_derm" and old.record["data"] == today.record["data"]


def test_it_evaluates_predicts_and_exports(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ANEW:
        monai.bundle.run(
            config_file=str(OLD / "evaluate.yaml"), run_dir=str(trained), track=False, output_dir="evaluation"
        )
    assert Path("evaluation/predictions.csv").read_bytes() == (trained / "evaluation/predictions.csv").read_bytes()
    again, first = (
        json.loads((folder / "metrics.json").read_text()) for folder in (Path("evaluation"), trained / "evaluation")
    )
    assert again == {key: value for key, value in first.items() if key != "baseline"}
    with ANEW:
        monai.bundle.run(config_file=str(OLD / "inference.yaml"), run_dir=str(trained), output_dir="predictions")
    assert len(Path("predictions/predictions.csv").read_text().splitlines()) > 1
    with ANEW:
        monai.bundle.run(
            "export", config_file=str(OLD / "inference.yaml"), run_dir=str(trained), bundle_root=str(tmp_path)
        )
    weights = torch.load("models/model.pt", weights_only=True)
    FitResult.load(trained).network().load_state_dict(weights)


def test_before_any_training_it_says_so(tmp_path):
    untrained = {"network": {"img_size": 32}, "class_names": ["a", "b"], "task": "multiclass"}
    with ANEW:
        nothing = release_0_1.find_training(runs=tmp_path, untrained=untrained)
    assert nothing.network().num_classes == 2
    with pytest.raises(FileNotFoundError, match="there is no finished training in"):
        nothing.checked()


def test_settings_of_a_recipe():
    (begun, other) = release_0_1.method_of(["ept", "ln"])
    assert (begun.start, begun.prompt_lr_scale, other.name) == (0.0, 30.0, "ln")
    assert release_0_1.method_of("ept", "paper") == "ept"
    net = TunedViT("embedded", 2, method="lora", img_size=32)
    assert release_0_1.optimizer_settings(net) == ("adamw", 0.003)
    assert release_0_1.optimizer_settings(net, "paper") == ("sgd", 6e-4)
    assert release_0_1.optimizer_settings(net, optimizer="sgd", lr=0.1) == ("sgd", 0.1)
    nets = [release_0_1.make_network(["a", "b"], img_size=32, recipe=recipe) for recipe in ("default", "paper", None)]
    assert [net.methods[0].start for net in nets] == [0.0, None, None]
