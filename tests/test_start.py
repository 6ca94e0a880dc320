# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept import DeltaError, TunedViT
from monai_ept.delta import read_delta
from monai_ept.start import (
    check_adapted,
    headless,
    put_state,
    start_as_written,
    start_hash,
    start_in,
    state_of,
    write_start,
)
from tests.backbones import timm_vit


def net_of(method="ln"):
    torch.manual_seed(0)
    return TunedViT(timm_vit(), 2, method=method)


def moved(net):
    with torch.no_grad():
        for tensor in net.delta_tensors().values():
            tensor.add_(0.5)
    return net


def test_a_state_can_be_put_back():
    net = net_of()
    before = {name: tensor.clone() for name, tensor in net.delta_tensors().items()}
    state = state_of(net)
    moved(net)
    put_state(net, state)
    for name, tensor in net.delta_tensors().items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("head.")), name  # heads are no part of it
    assert state.tensors.keys() == headless(before).keys() and net.methods == state.methods


def test_a_start_is_a_delta_without_a_head_that_others_begin_from(tmp_path):
    net = moved(net_of())
    write_start(net, tmp_path / "a.safetensors", steps=3)
    delta = read_delta(tmp_path / "a.safetensors", head=False)
    assert delta.metadata["head"] is False and delta.metadata["extra"] == {"steps": 3}
    assert "num_classes" not in delta.metadata and not [name for name in delta.tensors if name.startswith("head.")]
    other = net_of()
    start_as_written(other, {"file": str(tmp_path / "a.safetensors"), "check": False})
    assert all(
        torch.equal(tensor, headless(net.delta_tensors())[name])
        for name, tensor in headless(other.delta_tensors()).items()
    )
    assert other.start.about == {"hash": start_hash(tmp_path / "a.safetensors"), "steps": 3}
    assert other.start.check is False and other.start.before.tensors.keys() == delta.tensors.keys()
    other.save_delta(tmp_path / "trained.safetensors")
    assert start_in(read_delta(tmp_path / "trained.safetensors")).about == other.start.about
    net.save_delta(tmp_path / "without.safetensors")
    assert start_in(read_delta(tmp_path / "without.safetensors")) is None


def test_another_file_than_the_one_that_was_begun_with_is_refused(tmp_path):
    write_start(net_of(), tmp_path / "a.safetensors")
    wanted = {"file": str(tmp_path / "a.safetensors"), "hash": "0" * 16}
    with pytest.raises(DeltaError, match="is not the adaptation that was begun with: put that back"):
        start_as_written(net_of(), wanted)
    net = net_of()
    start_as_written(net, None)
    assert net.start is None


def test_what_a_configuration_file_may_say():
    assert check_adapted(None) is None
    assert check_adapted("a") == check_adapted({"file": "a"}) == {"file": "a", "check": True, "hash": None}
    assert check_adapted({"file": "a", "check": "false", "hash": "x"}) == {"file": "a", "check": False, "hash": "x"}
    for value, says in (
        ({"fle": "a"}, "did you mean 'file'"),
        ({}, "adapted"),
        (3, "adapted"),
        ({"file": "a", "check": "so"}, "check"),
    ):
        with pytest.raises(ValueError, match=says):
            check_adapted(value)
