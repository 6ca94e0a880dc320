# SPDX-License-Identifier: Apache-2.0

"""Files that do not fit are in ``tests/bad_inputs/test_weights.py``; here is what their errors say would."""

from __future__ import annotations

import re

import pytest
import timm
import torch
import yaml
from torch.nn.functional import cosine_similarity

from monai_ept.networks import create_backbone
from monai_ept.networks.checkpoint_file import read_weights

NAME = "vit_tiny_patch16_224"
SMALL = {"img_size": 32, "num_classes": 0}


def test_layer_scale_is_noticed_and_what_is_proposed_is_right(tmp_path):
    """It used to load without a word, with features that had little to do with the true ones."""
    torch.manual_seed(0)
    true = timm.create_model(NAME, init_values=1e-5, **SMALL).eval()
    torch.save(true.state_dict(), tmp_path / "scaled.pth")
    x = torch.randn(4, 3, 32, 32)
    plain = timm.create_model(NAME, **SMALL).eval()
    plain.load_state_dict(true.state_dict(), strict=False)
    assert cosine_similarity(plain(x), true(x)).max() < 0.9
    with pytest.raises(ValueError, match=r"it has 24 weights .*; backbone_settings {init_values: 1.0e-5} may fit it"):
        create_backbone(NAME, pretrained=tmp_path / "scaled.pth", img_size=32)
    proposed = create_backbone(
        NAME, pretrained=tmp_path / "scaled.pth", img_size=32, backbone_settings={"init_values": 1e-5}
    )
    assert torch.equal(proposed.eval()(x), true(x))


TINY = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 48}


@pytest.mark.parametrize(
    "settings",
    [
        {"init_values": 1e-5, "reg_tokens": 4},
        {"mlp_layer": "SwiGLUPacked", "act_layer": "silu", "mlp_ratio": 5.3125},
        {"patch_size": 8},
        {"pre_norm": True},
        {"global_pool": "avg"},
        {"class_token": False, "global_pool": "avg"},
        {"qk_norm": True},
        {"qkv_bias": False},
        {"mlp_ratio": 3.0},
    ],
)
def test_the_settings_that_are_proposed_are_right(tmp_path, settings):
    """What the sentence says, given as it stands there, loads the checkpoint and computes what its model computes."""
    torch.manual_seed(0)
    true = create_backbone(NAME, backbone_settings={**TINY, **settings}).eval()
    torch.save(true.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not fit backbone") as caught:
        create_backbone(NAME, pretrained=tmp_path / "w.pth", backbone_settings=TINY)
    proposed = yaml.safe_load(re.search(r"backbone_settings ({.*}) may fit", str(caught.value))[1])
    ours = create_backbone(NAME, pretrained=tmp_path / "w.pth", backbone_settings={**TINY, **proposed}).eval()
    x = torch.randn(2, 3, 48, 48)
    assert torch.equal(ours(x), true(x))


def test_weights_of_another_image_size_are_resized(tmp_path):
    torch.save(create_backbone(NAME, backbone_settings=TINY).state_dict(), tmp_path / "w.pth")
    assert (
        create_backbone(NAME, pretrained=tmp_path / "w.pth", img_size=96, backbone_settings=TINY).pos_embed.shape[1]
        == 37
    )


def test_how_images_are_prepared_is_said_once_where_nobody_knows(tmp_path, caplog):
    torch.save(create_backbone(NAME, backbone_settings=TINY).state_dict(), tmp_path / "w.pth")
    for settings in (TINY, TINY, {**TINY, "mean": 0.1, "std": 0.2}):
        create_backbone(NAME, pretrained=tmp_path / "w.pth", backbone_settings=settings)
    assert caplog.text.count("nothing says how images were prepared for the weights of") == 1
    assert "mean (0.5, 0.5, 0.5)" in caplog.text


def test_half_precision_is_for_files(tmp_path):
    state = {"a": torch.ones(2).half(), "b": torch.ones(2).bfloat16(), "c": torch.ones(2).double(), "epoch": 3}
    torch.save({"model": state}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert {key: value.dtype for key, value in found.items()} == {
        "a": torch.float32, "b": torch.float32, "c": torch.float64,
    }  # fmt: skip
