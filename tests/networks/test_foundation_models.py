# SPDX-License-Identifier: Apache-2.0

"""Each row of the table: random weights of its architecture, made smaller, saved as that project shares its own."""

from __future__ import annotations

import json
import math

import pytest
import timm
import torch
from huggingface_hub import constants

from monai_ept import TunedViT
from monai_ept.networks import create_backbone
from monai_ept.networks.backbone_settings import timm_arguments
from monai_ept.networks.foundation_models import FOUNDATION_MODELS, foundation_model
from tests.networks.other_models import (
    ClipTower,
    drawn,
    into_hub_cache,
    save_for_open_clip,
    save_for_timm,
    save_for_transformers,
)

transformers = pytest.importorskip("transformers", reason="it comes with peft, which the extra of tests has")
SMALLER = {"depth": 2, "embed_dim": 96, "num_heads": 2}
HF_SMALLER = {"num_hidden_layers": 2, "hidden_size": 96, "num_attention_heads": 2}
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


def of_timm(row, folder):
    """As the authors of UNI, Virchow and others do: what is no number in a configuration is left to whoever loads."""
    settings = {**row.settings, **SMALLER}
    theirs = drawn(timm.create_model(row.architecture, num_classes=0, **timm_arguments(row.architecture, settings)))
    plain = {key: value for key, value in settings.items() if key not in ("mlp_layer", "act_layer")}
    theirs.pretrained_cfg = {**theirs.pretrained_cfg, "mean": MEAN, "std": STD, "interpolation": "bilinear"}
    theirs._model_args = {}
    save_for_timm(theirs, folder, **plain)
    return theirs


class Pooled(torch.nn.Module):
    """What a model of transformers makes of an image for whoever classifies it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        found = getattr(self.model, "vision_model", self.model)(pixel_values=x)
        has_own = type(self.model).__name__ in ("CLIPModel", "SiglipModel")
        return found.pooler_output if has_own else found.last_hidden_state[:, 0]


def of_transformers(row, folder):
    patch = row.settings.get("patch_size") or int(
        timm.create_model(row.architecture, depth=1).patch_embed.patch_size[0]
    )
    sizes = {**HF_SMALLER, "image_size": row.size, "patch_size": patch}
    if "clip" in row.architecture and "siglip" not in row.architecture:
        text = {**TEXT, "bos_token_id": 1, "eos_token_id": 2}
        config = transformers.CLIPConfig(vision_config={**sizes, "intermediate_size": 192}, text_config=text)
        model = transformers.CLIPModel(config)
    elif "siglip" in row.architecture:
        config = transformers.SiglipConfig(vision_config={**sizes, "intermediate_size": 192}, text_config=TEXT)
        model = transformers.SiglipModel(config)
    elif "dinov3" in row.architecture:
        config = transformers.DINOv3ViTConfig(**sizes, intermediate_size=192, num_register_tokens=4)
        model = transformers.DINOv3ViTModel(config)
    elif "dinov2" in row.architecture:
        config = transformers.Dinov2Config(**sizes, use_swiglu_ffn="giant" in row.architecture)
        model = transformers.Dinov2Model(config)
    else:
        model = transformers.ViTModel(transformers.ViTConfig(**sizes, intermediate_size=192))
    said = {"image_mean": MEAN, "image_std": STD, "resample": 2, "size": {"height": row.size, "width": row.size}}
    save_for_transformers(drawn(model), folder, **said)
    return Pooled(model)


def of_open_clip(row, folder):
    if row.name == "biomedclip":
        tower = drawn(timm.create_model(row.architecture, num_classes=0, depth=2))
        # The real one has all blocks of the timm model that its configuration names.
        vision = {"timm_model_name": row.architecture, "timm_pool": "", "image_size": row.size}
        save_for_open_clip(tower, folder, vision, prefix="visual.trunk.")
        return tower
    tower = drawn(ClipTower(width=96, heads=2, patch=32, size=row.size))
    vision = {"width": 96, "head_width": 48, "layers": 2, "patch_size": 32, "image_size": row.size}
    save_for_open_clip(tower, folder, vision)
    return tower


@pytest.mark.parametrize("row", FOUNDATION_MODELS, ids=lambda row: row.name)
def test_random_weights_saved_as_the_real_ones_are(row, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    theirs = {"timm": of_timm, "transformers": of_transformers, "open_clip": of_open_clip}[row.format](row, folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    into_hub_cache(folder, tmp_path / "hub", row.repository)
    fewer = {"depth": 2} if row.name == "biomedclip" else SMALLER if row.format == "timm" else {}
    x = torch.randn(1, 3, row.size, row.size)
    path = folder / "pytorch_model.bin" if row.format == "timm" else folder
    for given in (row.on_the_hub, row.from_files(str(path))):
        settings = {**given.pop("backbone_settings", {}), **fewer}
        net = TunedViT(**given, num_classes=2, method="linear", backbone_settings=settings).eval()
        with torch.no_grad():
            torch.testing.assert_close(net.features(x), theirs(x), rtol=0, atol=1e-5)
        assert net.vit.img_size == (row.size, row.size)
        assert (net.vit.num_prefix_tokens, net.vit.num_patches) == row.tokens
        expected = row.images_as["mean"] if given["backbone"] == row.architecture else MEAN
        assert net.vit.mean == tuple(expected)


@pytest.mark.slow
@pytest.mark.parametrize("row", FOUNDATION_MODELS, ids=lambda row: row.name)
def test_sizes_are_those_of_the_architecture(row):
    with torch.device("meta"):
        whole = create_backbone(row.architecture, backbone_settings=row.settings)
    assert round(sum(param.numel() for param in whole.parameters()) / 1e6) == row.parameters
    assert (whole.num_prefix_tokens, math.prod(whole.patch_embed.grid_size)) == row.tokens


def test_names(tmp_path):
    names = [row.name for row in FOUNDATION_MODELS]
    assert len(set(names)) == len(names) and foundation_model("UNI").repository == "MahmoodLab/UNI"
    assert json.dumps([row.on_the_hub for row in FOUNDATION_MODELS])  # plain values, as YAML and deltas need them
    with pytest.raises(ValueError, match="foundation model 'uni3' is not known: did you mean 'uni'"):
        foundation_model("uni3")
