# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from monai_ept import DeltaError
from monai_ept.tracking.model_files import fold_if_possible, load_model_files, save_model_files
from monai_ept.tracking.pyfunc_model import PyfuncModel
from tests.backbones import monai_vit, shaken, timm_vit
from tests.tracking.scenes import MONAI_VIT, trained


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
