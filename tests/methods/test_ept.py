# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.methods import Ept
from tests.backbones import images_for, timm_vit


def network(method="ept", **settings):
    torch.manual_seed(0)
    return TunedViT(timm_vit(), 3, method=method, **settings)


def same(one, other):
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_a_begun_network_is_the_one_built_with_the_settings(tmp_path):
    net, built = network(), network(start=0.0, prompt_lr_scale=30.0)
    net.begin()
    assert net.methods == built.methods
    assert same(net, built)
    rates = [[group["lr"] for group in one.trainable_parameters(lr=1e-3)] for one in (net, built)]
    assert rates[0] == rates[1] == [0.03, 1e-3]
    for name, one in {"begun": net, "built": built}.items():
        one.save_delta(tmp_path / name)
    assert (tmp_path / "begun").read_bytes() == (tmp_path / "built").read_bytes()
    again = copy.deepcopy(net)
    again.begin()
    assert same(again, net)


def test_a_copy_is_as_drawn_too():
    net = network()
    twin = copy.deepcopy(net)
    twin.begin()
    net.begin()
    assert same(twin, net)


def test_one_method_of_several():
    net = network(["lora", Ept(prompt_layers=[1], prompt_lr_scale=7.0)])
    net.begin()
    assert [method.name for method in net.methods] == ["lora", "ept"]
    assert (net.methods[1].start, net.methods[1].prompt_lr_scale) == (0.0, 7.0)
    assert {group["lr_scale"] for group in net.trainable_parameters(lr=1.0)} == {1.0, 7.0}
    folded = net.fold()
    assert {group["lr_scale"] for group in folded.trainable_parameters(lr=1.0)} == {1.0, 7.0}


@pytest.mark.parametrize(
    "settings",
    [
        {"start": 4.6},
        {"prompt_init": "zero"},
        {"prompt_init": "identity"},
        {"embed": "scaled_concat"},
        {"embed": "add"},
    ],
)
def test_who_has_chosen_a_start_keeps_it(settings):
    net, built = network(**settings), network(**settings)
    net.begin()
    assert net.methods == built.methods
    assert same(net, built)


def test_trained_and_loaded_prompts_stay(tmp_path):
    trained = network()
    optimizer = torch.optim.SGD(trained.trainable_parameters(), lr=1e-3)
    trained(images_for(trained.vit)).sum().backward()
    optimizer.step()
    before = copy.deepcopy(trained)
    trained.begin()
    assert trained.methods == before.methods
    assert same(trained, before)
    trained.save_delta(tmp_path / "delta")
    loaded = network()
    loaded.load_delta(tmp_path / "delta")
    loaded.begin()
    assert loaded.methods == before.methods
    assert same(loaded, before)


def test_a_delta_of_a_begun_training_needs_no_settings(tmp_path):
    net = network()
    net.begin()
    net.save_delta(tmp_path / "delta")
    again = network()
    again.load_delta(tmp_path / "delta")
    assert again.methods == net.methods
    assert same(again, net)
    assert again.trainable_parameters(lr=1.0)[0]["lr"] == 30.0


def test_nothing_changes_for_a_head_alone():
    net = network()
    net.train_head_only()
    net.begin()
    assert len(net.trainable_parameters(lr=1.0)) == 1
