# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from monai_ept.delta import fingerprint
from monai_ept.networks import create_backbone
from monai_ept.networks.embedded_weights import SHAPE, WEIGHTS

NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    model = timm.create_model(NAME).eval()
    folder = tmp_path_factory.mktemp("weights")
    save_file(model.state_dict(), folder / "tiny.safetensors")
    torch.save({"state_dict": model.state_dict()}, folder / "tiny.pth")
    return model, folder


@pytest.mark.parametrize("file", ["tiny.safetensors", "tiny.pth"])
def test_local_checkpoints(checkpoint, file):
    model, folder = checkpoint
    x = torch.randn(1, 3, 224, 224)
    ours = create_backbone(NAME, pretrained=folder / file).eval()
    assert torch.equal(ours(x), model.forward_head(model.forward_features(x), pre_logits=True))


def test_other_sizes_and_channels(checkpoint):
    model, folder = checkpoint
    ours = create_backbone(NAME, pretrained=str(folder / "tiny.safetensors"), img_size=(96, 64), in_channels=1)
    assert ours.pos_embed.shape == (1, 1 + 6 * 4, 192)
    torch.testing.assert_close(ours.patch_embed.proj.weight, model.patch_embed.proj.weight.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_small_patch16_224", "does not fit backbone 'vit_small_patch16_224': its weights have other shapes"),
        ("vit_tiny_r_s16_p8_224", "does not fit backbone"),
    ],
)
def test_checkpoints_of_other_models(checkpoint, name, message):
    with pytest.raises(ValueError, match=message):
        create_backbone(name, pretrained=checkpoint[1] / "tiny.safetensors")


def test_a_checkpoint_with_holes(checkpoint, tmp_path):
    state = checkpoint[0].state_dict()
    del state["blocks.3.attn.qkv.weight"]
    save_file(state, tmp_path / "holes.safetensors")
    with pytest.raises(ValueError, match="it lacks 1 weights, among them 'blocks.3.attn.qkv.weight'"):
        create_backbone(NAME, pretrained=tmp_path / "holes.safetensors")


def test_a_checkpoint_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.pth does not exist: pass the path of a .safetensors or .pth"):
        create_backbone(NAME, pretrained=tmp_path / "nothing.pth")


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    import huggingface_hub.constants

    # Offline, and with no cache to fall back on.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match="could not be fetched from the hub .* pass pretrained='PATH'") as caught:
        create_backbone("vit_small_patch16_224.augreg_in21k", pretrained=True)
    assert "\n" not in str(caught.value)


def test_a_model_without_pretrained_weights():
    with pytest.raises(ValueError, match="timm has no pretrained weights for 'vit_small_patch16_36x1_224'"):
        create_backbone("vit_small_patch16_36x1_224", pretrained=True)


def test_the_embedded_backbone_comes_with_its_weights():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    model = create_backbone("embedded")
    assert torch.equal(torch.get_rng_state(), before)  # it takes nothing from anybody's random numbers
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_407_104
    stored = load_file(WEIGHTS)
    assert all(torch.equal(tensor.half(), stored[name]) for name, tensor in model.state_dict().items())
    assert model.pretrained_cfg["mean"] == model.pretrained_cfg["std"] == (0.5, 0.5, 0.5)
    again = create_backbone("embedded", pretrained=True)
    assert fingerprint(again.state_dict()) == fingerprint(model.state_dict())


def test_the_file_of_the_weights_is_small_and_says_what_it_is():
    assert WEIGHTS.stat().st_size <= 8_000_000
    with safe_open(WEIGHTS, "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["license"] == "Apache-2.0" and about["recipe"]["embed_dim"] == SHAPE["embed_dim"]
    card = WEIGHTS.with_name("README.md").read_text()
    assert str(about["recipe"]["steps"]) in card.replace(",", "")


def test_the_embedded_backbone_in_other_sizes_and_channels():
    model = create_backbone("embedded")
    small = create_backbone("embedded", img_size=64, in_channels=1)
    assert small.pos_embed.shape == (1, 1 + 16, SHAPE["embed_dim"])
    torch.testing.assert_close(small.patch_embed.proj.weight, model.patch_embed.proj.weight.sum(1, keepdim=True))
    with pytest.raises(ValueError, match="img_size 50 is not a multiple of the patch size 16 of embedded: 48 or 64"):
        create_backbone("embedded", img_size=50)


def test_shapes_alone_need_no_weights(recwarn):
    with torch.device("meta"):
        assert create_backbone("embedded").cls_token.is_meta
    assert not recwarn.list


def test_the_embedded_backbone_takes_other_weights(tmp_path):
    other = {name: tensor + 1 for name, tensor in load_file(WEIGHTS).items()}
    save_file(other, tmp_path / "longer.safetensors")
    model = create_backbone("embedded", pretrained=tmp_path / "longer.safetensors")
    assert torch.equal(model.cls_token.half(), other["cls_token"])


def test_the_random_one_is_the_same_everywhere():
    model = create_backbone("embedded_random")
    assert fingerprint(model.state_dict()) == "227b8f5be3b5711c63bdf655c02e26b6"
    small = create_backbone("embedded_random", img_size=64, in_channels=1)
    torch.testing.assert_close(small.patch_embed.proj.weight, model.patch_embed.proj.weight.sum(1, keepdim=True))
    assert torch.equal(small.blocks[3].mlp.fc2.weight, model.blocks[3].mlp.fc2.weight)
    features = model(torch.rand(2, 3, 224, 224))
    assert 0.5 < features.std() < 2 and not torch.allclose(features[0], features[1], atol=1e-3)
    with pytest.raises(ValueError, match="'embedded_random' takes no weights: leave pretrained out, or use 'embedded'"):
        create_backbone("embedded_random", pretrained=True)
