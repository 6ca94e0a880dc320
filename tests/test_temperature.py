# SPDX-License-Identifier: Apache-2.0

"""The temperature of a network: what its logits are divided by, from the delta file to the exported network."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_ept import DeltaError, TunedViT
from monai_ept.delta import read_delta, store_temperature, write_delta
from tests.backbones import images_for, timm_vit


@pytest.fixture
def net() -> TunedViT:
    torch.manual_seed(0)
    return TunedViT(timm_vit(), 3, prompt_length=4).eval()


@torch.no_grad()
def test_logits_are_divided_by_it(net):
    x = images_for(net.vit)
    plain = net(x)
    assert net.temperature == 1 and torch.equal(net.head(net.features(x)), plain)
    net.temperature = 2
    assert torch.equal(net(x), plain / 2)
    assert torch.equal(net.features(x), net.features(x)) and torch.equal(net.fold()(x).argmax(1), plain.argmax(1))
    assert net.fold().temperature == 2 and "temperature=2" in repr(net)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "2"])
def test_what_is_no_temperature_is_refused(net, value):
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        net.temperature = value


@torch.no_grad()
def test_the_delta_file_keeps_it(net, tmp_path):
    path, x = tmp_path / "delta.safetensors", images_for(net.vit)
    net.save_delta(path, note="first")
    before, plain = path.read_bytes(), net(x)
    assert "temperature" not in read_delta(path).metadata
    store_temperature(path, 1.75)
    assert read_delta(path).metadata["extra"] == {"note": "first"}
    other = TunedViT.from_delta(path, backbone=timm_vit()).eval()
    assert other.temperature == 1.75 and torch.equal(other(x), plain / 1.75)
    # What is saved again has it too, and a delta without one sets it back.
    other.save_delta(tmp_path / "again.safetensors", note="first")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    store_temperature(path, 1)
    assert path.read_bytes() == before
    other.load_delta(path)
    assert other.temperature == 1


def test_a_bad_temperature_in_a_file_is_an_error(net, tmp_path):
    path = tmp_path / "delta.safetensors"
    with pytest.raises(ValueError, match="above 0"):
        net.save_delta(path)
        store_temperature(path, -1)
    delta = read_delta(path)
    about = {key: value for key, value in delta.metadata.items() if key != "version"}
    write_delta(path, delta.tensors, {**about, "temperature": 0})
    with pytest.raises(DeltaError, match="temperature must be a number above 0"):
        net.load_delta(path)


@torch.no_grad()
def test_saved_weights_and_traced_networks_keep_it(net):
    x = images_for(net.vit)
    old = copy.deepcopy(net.state_dict())
    net.temperature = 3.0
    logits = net(x)
    other = TunedViT(timm_vit(), 3, prompt_length=4).eval()
    other.load_state_dict(net.state_dict())
    assert other.temperature == 3 and torch.equal(other(x), logits)
    traced = torch.jit.trace(net, x)
    torch.testing.assert_close(traced(x), logits)
    # Weights from before there was a temperature load as ever.
    del old["_temperature"]
    other.load_state_dict(old)
    assert other.temperature == 1 and "temperature" not in repr(other)


def test_a_network_without_memory_can_be_shown():
    with torch.device("meta"):
        assert "temperature" not in repr(TunedViT(timm_vit(), 3))
