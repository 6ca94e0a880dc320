# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.networks.tuner import own_name
from monai_ept.serving.shared_weights import SharingViT, share_weights
from tests.backbones import images_for, timm_vit


@pytest.fixture
def shared():
    vit = timm_vit(num_classes=0)
    vit.norm.bias = vit.norm.weight  # one parameter in two places stays one
    share_weights(vit)
    return vit


def test_copies_share_memory_and_nothing_else(shared):
    one = copy.deepcopy(shared)
    assert one.norm.bias is one.norm.weight and one.blocks[0] is not shared.blocks[0]
    for mine, theirs in zip(one.parameters(), shared.parameters(), strict=True):
        assert mine is not theirs and mine.data_ptr() == theirs.data_ptr() and not mine.requires_grad
    two = copy.deepcopy(one)  # a copy of a copy is on its own
    assert two.norm.weight.data_ptr() != one.norm.weight.data_ptr()


@pytest.mark.parametrize(("method", "own"), [("ept", ()), ("ln", ("norm",)), ("full", ("",))])
def test_what_a_method_thaws_has_memory_of_its_own(method, own, shared):
    before = {name: param.clone() for name, param in shared.named_parameters()}
    net = TunedViT(shared, 3, method=method).eval()
    plain = TunedViT(shared, 3, method="linear").eval()
    shares = {name: param.data_ptr() for name, param in shared.named_parameters()}
    held = {own_name(name): param for name, param in net.backbone.named_parameters()}
    for name, memory in shares.items():
        assert (held[name].data_ptr() == memory) is not any(part in name for part in own), name
    with torch.no_grad():
        for param in net.backbone.parameters():
            if param.requires_grad:
                param.add_(1.0)
        for name, param in shared.named_parameters():
            assert torch.equal(param, before[name])
        images = images_for(net.vit)
        with net.disabled():
            assert torch.equal(net.features(images), plain.features(images))
        assert not torch.allclose(net.features(images), plain.features(images))


def test_a_fingerprint_is_taken_once_for_all_that_freeze_the_same(shared, monkeypatch):
    taken = []
    honest = TunedViT.fingerprint
    monkeypatch.setattr(TunedViT, "fingerprint", lambda net: taken.append(net.method_name) or honest(net))
    known: dict[frozenset[str], str] = {}
    prints = [SharingViT(shared, known, num_classes=2, method=method).fingerprint() for method in ("ept", "ln", "lora")]
    assert taken == ["ept", "ln"]
    assert (
        prints[0] == prints[2] == honest(TunedViT(shared, 2)) != prints[1] == honest(TunedViT(shared, 2, method="ln"))
    )
