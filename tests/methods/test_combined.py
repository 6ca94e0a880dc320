# SPDX-License-Identifier: Apache-2.0

"""Several methods on one backbone, in either order."""

from __future__ import annotations

import itertools

import pytest
import torch

from monai_ept import Bias, Damp, Ept, Lora, TunedViT, Vpt, list_methods
from monai_ept.methods import method_class
from tests.backbones import images_for, monai_vit, timm_vit
from tests.methods.cases import tuned

BACKBONES = {
    "timm": timm_vit,
    "eva": lambda: timm_vit("eva02_tiny_patch14_224"),
    "rope": lambda: timm_vit("vit_pe_core_tiny_patch16_384"),
    "monai": lambda: monai_vit(3, img_size=16),
}
every_backbone = pytest.mark.parametrize("kind", BACKBONES)


def by_own_name(net):
    tensors = net.delta_tensors()
    return {".".join(part for part in name.split(".") if part != "inner"): tensor for name, tensor in tensors.items()}


@every_backbone
@pytest.mark.parametrize(
    "pair", [("ept", Lora(rank=2)), ("damp", "lora"), ("adapter", "vpt"), ("vp", "vpt"), ("bias", "lora")]
)
def test_order_does_not_matter(kind, pair):
    backbone = BACKBONES[kind]()
    one, other = tuned(backbone, list(pair)), tuned(backbone, list(reversed(pair)), seed=1)
    x = images_for(one.vit)
    assert one.count() == other.count()
    assert one.count().delta == sum(TunedViT(backbone, 3, method=method).count().delta for method in pair)
    values, targets = by_own_name(one), by_own_name(other)
    assert values.keys() == targets.keys()
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(values[name])
    assert torch.equal(one(x), other(x))
    plain = TunedViT(backbone, 3, method="linear").eval().features(x)
    for net in (one, other):
        with net.disabled():
            assert torch.equal(net.features(x), plain)


@every_backbone
@pytest.mark.parametrize("order", [["ept", "lora"], ["lora", "ept"]])
def test_ept_and_lora_act_both(kind, order):
    backbone = BACKBONES[kind]()
    net = tuned(backbone, order)
    x = images_for(net.vit)
    both = net.features(x)
    for part in (".logits", ".up."):
        saved = {name: p.detach().clone() for name, p in net.named_parameters() if part in name}
        assert len(saved) >= 2
        with torch.no_grad():
            for name in saved:
                net.get_parameter(name).fill_(-30.0 if part == ".logits" else 0.0)
        assert not torch.allclose(net.features(x), both, atol=1e-4)
        with torch.no_grad():
            for name, value in saved.items():
                net.get_parameter(name).copy_(value)
    assert torch.equal(net.features(x), both)


@every_backbone
@pytest.mark.parametrize("order", [["ept", "lora"], ["lora", "ept"], ["bias", "lora"], ["vpt", "ept", "lora"]])
def test_fold(kind, order):
    net = tuned(BACKBONES[kind](), order)
    x = images_for(net.vit)
    folded = net.fold()
    torch.testing.assert_close(folded(x), net(x), atol=1e-5, rtol=1e-5)
    assert not [name for name, _ in folded.named_parameters() if ".up." in name or ".down" in name]
    assert net.count().delta > folded.count().delta
    trained = {id(param) for group in folded.trainable_parameters(lr=1.0) for param in group["params"]}
    assert trained == {id(param) for param in folded.parameters() if param.requires_grad}


def test_folding_ept_beside_a_method_that_stays(tmp_path):
    net = tuned(timm_vit(), [Ept(prompt_length=5), Bias()])
    folded = net.fold()
    x = images_for(net.vit)
    folded.save_delta(tmp_path / "delta.safetensors")
    again = TunedViT.from_delta(tmp_path / "delta.safetensors", backbone=timm_vit()).eval()
    assert torch.equal(again(x), folded(x))
    plain = TunedViT(timm_vit(), 3, method="linear").eval().features(x)
    with folded.disabled():
        assert torch.equal(folded.features(x), plain)


def test_prompt_tokens_are_prompted_too():
    net = tuned(timm_vit(), ["vpt", "ept"])
    assert net.backbone.blocks[0].inner.attn.prompt.logits.shape == (17 + 50, 100)
    assert net(images_for(net.vit)).shape == (2, 3)


def test_what_cannot_be_combined_says_so():
    with pytest.raises(ValueError, match="name 'vpt' before them"):
        TunedViT(timm_vit(), 2, method=["ept", "vpt"])
    for pair in (["ept", "damp"], ["damp", "ept"], ["ept", "ept"]):
        with pytest.raises(ValueError, match="layer 0 has an embedded prompt already"):
            TunedViT(timm_vit(), 2, method=pair)
    net = TunedViT(timm_vit(), 2, method=[Damp(layers=[0]), Ept(prompt_layers=[1])])
    assert net.count().delta == 17 * 100


def test_learning_rates_stay_with_their_methods():
    net = TunedViT(timm_vit(), 2, method=[Ept(prompt_lr_scale=10.0), "lora"])
    groups = net.trainable_parameters(lr=0.1)
    sizes = {group["lr"]: sum(p.numel() for p in group["params"]) for group in groups[:-1]}
    assert sizes == {1.0: 2 * 17 * 100, 0.1: 2 * 2 * 4 * 2 * 48}


@pytest.mark.parametrize("pair", itertools.combinations([n for n in list_methods() if n not in ("ept", "damp")], 2))
def test_any_two_give_a_network(pair):
    net = TunedViT(timm_vit(), 2, method=[method_class(name)() for name in pair])
    with net.disabled():
        net(images_for(net.vit))
    net(images_for(net.vit)).sum().backward()
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_lora_under_vpt_under_vpt():
    net = tuned(timm_vit("vit_small_patch16_dinov3"), [Vpt(num_tokens=2), "lora", Vpt(num_tokens=3, layers="shallow")])
    assert net.vit.num_tokens == 5 + 2 + 3 + 16
    assert net(images_for(net.vit)).shape == (2, 3)
