# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from monai_ept.networks import create_backbone
from monai_ept.networks.embedded_weights import EMBEDDED, SHAPE, WEIGHTS

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
        ("vit_small_patch16_224", "of a network with width 192 instead of 384, MLP width 768 instead of 1536"),
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
    with pytest.raises(ValueError, match=r"it lacks 1 weight \('blocks.3.attn.qkv.weight'\)"):
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


def test_the_embedded_backbone_in_other_sizes_and_channels():
    model = create_backbone("embedded")
    small = create_backbone("embedded", img_size=64, in_channels=1)
    assert small.pos_embed.shape == (1, 1 + 16, SHAPE["embed_dim"])
    torch.testing.assert_close(small.patch_embed.proj.weight, model.patch_embed.proj.weight.sum(1, keepdim=True))
    with pytest.raises(ValueError, match="img_size 50 is not a multiple of the patch size 16 of embedded: 48 or 64"):
        create_backbone("embedded", img_size=50)


def test_the_embedded_backbone_takes_other_weights(tmp_path):
    other = {name: tensor + 1 for name, tensor in load_file(WEIGHTS[EMBEDDED]).items()}
    save_file(other, tmp_path / "longer.safetensors")
    model = create_backbone("embedded", pretrained=tmp_path / "longer.safetensors")
    assert torch.equal(model.cls_token.half(), other["cls_token"])
