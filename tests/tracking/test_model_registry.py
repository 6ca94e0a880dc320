# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from monai_ept import DeltaError, TunedViT
from monai_ept.tracking import open_run, register_model
from monai_ept.tracking.pyfunc_model import PyfuncModel, fold_if_possible, load_model_files, save_model_files
from monai_ept.tracking.tracked_run import read_about
from tests.backbones import monai_vit, shaken, timm_vit

NAMES = ["nevus", "melanoma", "other"]
MONAI_VIT = {  # what monai_vit builds
    "_target_": "monai.networks.nets.ViT",
    **{"in_channels": 1, "img_size": 32, "patch_size": 8, "hidden_size": 48, "mlp_dim": 96, "num_layers": 2},
    **{"num_heads": 3, "classification": True, "spatial_dims": 3, "qkv_bias": True},
}


def trained(backbone, method, **settings) -> TunedViT:
    """A network whose every number is at random, those that are trained too."""
    torch.manual_seed(0)
    net = TunedViT(backbone, 3, method=method, class_names=NAMES, **settings)
    for group in net.trainable_parameters(lr=1.0):
        for param in group["params"]:
            torch.nn.init.normal_(param, std=0.1)
    return net.eval()


def test_a_registered_model_answers_the_same_and_holds_no_pickle(server, monkeypatch, tmp_path):
    net = trained("test_vit", "ept", prompt_length=4, img_size=64)
    shaken(net.backbone)  # weights that no name could give
    images = torch.randn(5, 3, 64, 64)
    with open_run("run", "ept", "registry", tracking_uri=server.uri):
        pass
    first = register_model(net, "derm-ept", "run", example=images)
    assert first == ("derm-ept", "1", "models:/derm-ept/1")
    assert register_model(net, "derm-ept", "run", example=images.numpy(), task="multilabel").version == "2"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    model = mlflow.pyfunc.load_model(first.uri)
    with torch.inference_mode():
        logits, folded = net(images), net.fold()(images)
    answer = model.predict(images.numpy())
    assert np.array_equal(answer, folded.softmax(-1).numpy())
    assert np.allclose(answer, logits.softmax(-1).numpy(), atol=1e-6) and np.ptp(answer, axis=0).min() > 1e-3
    sigmoid = mlflow.pyfunc.load_model("models:/derm-ept/2").predict(images.numpy())
    assert np.array_equal(sigmoid, folded.sigmoid().numpy())

    info = model.metadata
    assert info.get_input_schema().to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 3, 64, 64)}
    assert info.get_output_schema().to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 3)}
    assert info.metadata["class_names"] == NAMES and info.metadata["img_size"] == [64, 64]
    with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
        model.predict(images.numpy()[:, :1])
    folder = Path(mlflow.artifacts.download_artifacts(first.uri))
    example = info.load_input_example(str(folder))
    assert np.array_equal(example, images[:1].numpy())
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert files == sorted({*files} - {name for name in files if name.endswith((".pkl", ".pth", ".pt", ".bin"))})
    assert {"backbone.safetensors", "config.json", "delta.safetensors"} <= {*files}
    assert "monai_ept==" in (folder / "requirements.txt").read_text()
    version = MlflowClient(server.uri).get_model_version("derm-ept", "1")
    assert version.run_id == read_about("run")["run_id"]


@pytest.mark.parametrize("method", ["ept", "lora", "full", "bias", "adapter", "vpt", "linear", ["ept", "lora"]])
def test_every_method_is_built_again_from_its_files(method, tmp_path):
    net = trained("test_vit", method, img_size=64)
    shaken(net.backbone)
    save_model_files(net, tmp_path, "multiclass")
    again, config = load_model_files(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = fold_if_possible(net)(images).softmax(-1).numpy()
    assert np.array_equal(PyfuncModel(again, config["task"]).predict(images), expected)


def test_a_monai_backbone_in_3d_is_built_from_its_configuration(tmp_path):
    net = trained(monai_vit(3), "ept", prompt_length=4)
    save_model_files(net, tmp_path, "multilabel", MONAI_VIT)
    again, _ = load_model_files(tmp_path)
    images = torch.randn(2, 1, 32, 32, 32)
    with torch.inference_mode():
        assert torch.equal(again(images), net.fold()(images))


def test_a_backbone_that_nobody_can_build_again_is_refused(tmp_path):
    net = trained(timm_vit(), "ept")
    with pytest.raises(
        ValueError, match=r"given as a module: pass backbone=\{'_target_': 'monai\.networks\.nets\.ViT'"
    ):
        save_model_files(net, tmp_path, "multiclass")
    with pytest.raises(ValueError, match="given as a module"):
        save_model_files(net, tmp_path, "multiclass", {"_target_": "os.system", "command": "true"})


def test_other_weights_are_noticed(tmp_path):
    save_model_files(trained("test_vit", "ept", img_size=64), tmp_path, "multiclass")
    weights = load_file(tmp_path / "backbone.safetensors")
    save_file(
        {key: value for key, value in weights.items() if "blocks.1" not in key}, tmp_path / "backbone.safetensors"
    )
    with pytest.raises(DeltaError, match="was trained on backbone test_vit"):
        load_model_files(tmp_path)


def test_a_file_cannot_make_us_build_anything_else(tmp_path):
    net = trained("test_vit", "linear", img_size=64)
    save_model_files(net, tmp_path, "multiclass")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "backbone": {"_target_": "os.system"}}))
    with pytest.raises(ValueError, match=r"has a backbone 'os\.system' that is not known here"):
        load_model_files(tmp_path)


def test_registration_that_cannot_be_says_why(database, monkeypatch, tmp_path):
    net = trained("test_vit", "linear", img_size=64)
    images = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"nowhere holds no run that has reached MLflow"):
        register_model(net, "name", "nowhere", example=images)
    with open_run("run", "a", "registry"):
        pass
    with pytest.raises(ValueError, match=r"task 'multi-label' is not known: did you mean 'multilabel'"):
        register_model(net, "name", "run", example=images, task="multi-label")
    with pytest.raises(ConnectionError, match=r"'name' could not be registered at http://127\.0\.0\.1:9.*not touched"):
        register_model(net, "name", "run", example=images, tracking_uri="http://127.0.0.1:9")
