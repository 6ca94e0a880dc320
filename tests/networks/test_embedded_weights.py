# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from monai_ept import DeltaError, TunedViT
from monai_ept.delta import fingerprint, read_delta, write_delta
from monai_ept.networks import create_backbone
from monai_ept.networks.embedded_weights import EMBEDDED, EMBEDDED_V1, SHAPE, WEIGHTS
from monai_ept.runs.build_network import make_network, network_of_delta


def test_the_file_of_the_weights_is_small_and_says_what_it_is():
    assert WEIGHTS[EMBEDDED].stat().st_size <= 8_000_000
    with safe_open(WEIGHTS[EMBEDDED], "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["license"] == "Apache-2.0" and about["recipe"]["embed_dim"] == SHAPE["embed_dim"]
    card = WEIGHTS[EMBEDDED].with_name("README.md").read_text()
    assert str(about["recipe"]["steps"]) in card.replace(",", "")


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


def test_the_embedded_backbone_comes_with_its_weights():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    model = create_backbone("embedded")
    assert torch.equal(torch.get_rng_state(), before)  # it takes nothing from anybody's random numbers
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_407_104
    stored = load_file(WEIGHTS[EMBEDDED])
    assert all(torch.equal(tensor.half(), stored[name]) for name, tensor in model.state_dict().items())
    assert model.pretrained_cfg["mean"] == model.pretrained_cfg["std"] == (0.5, 0.5, 0.5)
    again = create_backbone("embedded", pretrained=True)
    assert fingerprint(again.state_dict()) == fingerprint(model.state_dict())


def test_shapes_alone_need_no_weights(recwarn):
    with torch.device("meta"):
        assert create_backbone("embedded").cls_token.is_meta
    assert not recwarn.list


def test_deltas_of_the_first_generation_find_their_weights(tmp_path):
    assert sum(path.stat().st_size for path in WEIGHTS.values()) <= 16_000_000
    path = tmp_path / "delta.safetensors"
    for method in ("ept", "ln"):
        net = TunedViT(EMBEDDED_V1, 3, method=method, img_size=32).eval()
        net.save_delta(path)
        delta = read_delta(path)
        old = {key: value for key, value in delta.metadata.items() if key != "version"}
        write_delta(path, delta.tensors, {**old, "backbone": {**old["backbone"], "name": EMBEDDED}})
        again = TunedViT.from_delta(path).eval()
        images = torch.rand(2, 3, 32, 32)
        assert again.backbone_name == EMBEDDED_V1
        assert torch.equal(again(images), net(images))
        with pytest.raises(DeltaError, match="give it the same pretrained weights"):
            TunedViT.from_delta(path, pretrained=WEIGHTS[EMBEDDED])


def test_so_do_those_of_volumes(tmp_path):
    settings = {"spatial_dims": 3, "img_size": 32, "patch_size": 16, "in_channels": 1}
    for name in (EMBEDDED, EMBEDDED_V1):
        net = make_network(["a", "b"], backbone=name, method="lora", **settings).eval()
        net.save_delta(tmp_path / "delta.safetensors")
        again = network_of_delta(tmp_path / "delta.safetensors", backbone="embedded", **settings).eval()
        volumes = torch.rand(1, 1, 32, 32, 32)
        assert torch.equal(again(volumes), net(volumes))
    write_delta(tmp_path / "other.safetensors", *_with_other_fingerprint(read_delta(tmp_path / "delta.safetensors")))
    with pytest.raises(DeltaError, match="give it the same pretrained weights"):
        network_of_delta(tmp_path / "other.safetensors", **settings)


def _with_other_fingerprint(delta):
    about = {key: value for key, value in delta.metadata.items() if key != "version"}
    return delta.tensors, {**about, "backbone": {**about["backbone"], "fingerprint": "0" * 32}}
