# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import timm
import torch
from monai.networks.nets import ViT

from monai_ept import TunedViT
from monai_ept.engines.frozen_layers import UpperPart, lower_part, trained_level
from tests.rounding import NETWORK, assert_same


def timm_vit(**settings):
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, num_classes=0, **settings)


def eva_vit():
    torch.manual_seed(0)
    return timm.create_model("eva02_tiny_patch14_224", img_size=28, depth=3, num_classes=0)


def monai_vit():
    torch.manual_seed(0)
    return ViT(1, (16, 16, 16), (8, 8, 8), hidden_size=48, mlp_dim=96, num_layers=3, num_heads=4, classification=True)


LEVELS = [
    ("linear", {}, 4),
    ("mlp", {}, 4),
    ("damp", {}, 4),
    ("partial", {}, 2),
    ("partial", {"num_blocks": 3}, 0),
    ("ept", {"prompt_layers": [-1]}, 2),
    ("ept", {}, 0),
    ("lora", {}, 0),
    ("bias", {}, 0),
    ("vpt", {}, 0),
    ("vp", {}, 0),
    ("vp", {"on": "frame", "size": 3}, 0),
    ("adapter", {}, 0),
    ("ln", {}, 0),
    ("full", {}, 0),
]


@pytest.mark.parametrize(("method", "settings", "level"), LEVELS)
def test_the_level_is_that_of_the_lowest_layer_that_trains(method, settings, level):
    net = TunedViT(timm_vit(), 2, method=method, **settings)
    # A block's own weights, and nothing before it: vit_tiny has no norm before its blocks.
    assert trained_level(net) == level
    assert net.training


def test_chance_in_a_frozen_layer_ends_the_frozen_part():
    net = TunedViT(timm_vit(), 2, method="linear")
    net.vit.blocks[1].inserted = torch.nn.Dropout(0.1)  # as a method might that is random and does not train
    kept = net.train
    net.train = lambda mode=True: kept(mode) and net.vit.blocks[1].inserted.train(mode) and net
    assert trained_level(net) == 1


@pytest.mark.parametrize("backbone", [timm_vit, lambda: timm_vit(global_pool="avg"), eva_vit, monai_vit])
@pytest.mark.parametrize(
    ("method", "settings"),
    [("linear", {}), ("damp", {"c": 2.0}), ("partial", {}), ("ept", {"prompt_layers": [-1]})],
)
def test_upper_part_on_lower_part_is_the_network(backbone, method, settings):
    torch.manual_seed(1)
    net = TunedViT(backbone(), 3, method=method, **settings)
    level = trained_level(net)
    assert level > 0
    images = torch.randn(4, net.vit.in_channels, *net.vit.img_size)
    net.eval()
    with torch.no_grad():
        tokens = lower_part(net, level, images)
    blocks = list(net.vit.blocks)
    net.train()
    upper = UpperPart(net, level)
    short, whole = upper(tokens), net(images)
    assert_same(short, whole)
    assert all(a is b for a, b in zip(blocks, net.vit.blocks, strict=True))
    grads = []
    for logits in (short, whole):
        net.zero_grad()
        logits.square().sum().backward()
        grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 0
    for ours, theirs in zip(*grads, strict=True):
        assert_same(ours, theirs, NETWORK)
