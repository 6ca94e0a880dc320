# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.methods import list_methods
from monai_ept.networks import create_backbone
from monai_ept.runs.build_network import make_backbone, make_network

NAMES = ["a", "b", "c"]


def test_what_starts_at_random_follows_from_the_seed():
    first = make_network(NAMES, img_size=32, seed=1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again, other = make_network(NAMES, img_size=32, seed=1), make_network(NAMES, img_size=32, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in first.delta_tensors().items():
        assert torch.equal(tensor, again.delta_tensors()[name])
    assert not all(torch.equal(tensor, other.delta_tensors()[name]) for name, tensor in first.delta_tensors().items())
    assert first.class_names == NAMES


@pytest.mark.parametrize("method", sorted(set(list_methods()) - {"peft"}))
def test_any_method_by_name(method):
    assert make_network(NAMES, img_size=32, method=method)(torch.randn(2, 3, 32, 32)).shape == (2, 3)


def test_settings_of_the_method():
    assert make_network(NAMES, img_size=32, prompt_length=7).methods[0].prompt_length == 7
    assert make_network(NAMES, img_size=32, method="lora", method_settings={"rank": 2}).methods[0].rank == 2
    with pytest.raises(ValueError, match="method 'linear' has no setting 'prompt_length'"):
        make_network(NAMES, method="linear", prompt_length=7)
    with pytest.raises(ValueError, match="method 'ept' has no setting 'name'"):
        make_network(NAMES, img_size=32, method_settings={"name": "lora"})


def test_volumes():
    network = make_network(NAMES, spatial_dims=3, img_size=16, patch_size=8, in_channels=1)
    assert network(torch.randn(2, 1, 16, 16, 16)).shape == (2, 3)
    again = make_network(NAMES, spatial_dims=3, img_size=16, patch_size=8, in_channels=1)
    assert network.fingerprint() == again.fingerprint()


@pytest.mark.parametrize("word", ["false", "False", "no", False])
def test_false_is_no_path(word):
    assert make_network(NAMES, img_size=32, pretrained=word).backbone_name == "embedded"


def test_true_and_paths():
    with pytest.raises(ValueError, match="'embedded_random' takes no weights"):
        make_network(NAMES, backbone="embedded_random", pretrained="true")
    with pytest.raises(FileNotFoundError, match=r"nothing.pth does not exist"):
        make_network(NAMES, backbone="vit_tiny_patch16_224", pretrained="nothing.pth")


def test_a_training_is_built_again_with_the_settings_of_its_backbone(tmp_path):
    """As a bundle records them; the adapter's file has them too, and so has a command line's text for a number."""
    small = {"depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": "1e-5", "reg_tokens": 2}
    torch.save(create_backbone("vit_tiny_patch16_224", backbone_settings=small).state_dict(), tmp_path / "w.pth")
    settings = {
        "backbone": "vit_tiny_patch16_224",
        "pretrained": str(tmp_path / "w.pth"),
        "backbone_settings": small,
        "img_size": 64,
    }
    net = make_network(["a", "b"], **settings).eval()
    net.save_delta(tmp_path / "d.safetensors")
    again = TunedViT.from_delta(tmp_path / "d.safetensors", **make_backbone(**settings)).eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(x), net(x)) and again.vit.num_prefix_tokens == 3
