# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from monai_ept import TunedViT
from monai_ept.methods import Lora
from monai_ept.methods.lora import LoraLinear
from monai_ept.networks import OpenAttention, tuners
from tests.backbones import images_for, monai_vit, timm_vit
from tests.methods.cases import tuned
from tests.rounding import assert_same

ALL = ("q", "k", "v", "proj")
FUSED = ["vit_tiny_patch16_224", "vit_pe_core_tiny_patch16_384", "vit_small_patch16_rope_224", "eva02_tiny_patch14_224"]
SEPARATE = ["vit_small_patch16_dinov3", "vit_base_patch16_sapiens2"]


def updated_by_hand(backbone, net, alpha_over_rank):
    """The backbone with W + BA written into its weights, from the names of the delta alone."""
    copied = copy.deepcopy(backbone)
    tensors = {name.removeprefix("backbone."): t for name, t in net.delta_tensors().items() if "blocks" in name}
    for index, block in enumerate(copied.blocks):
        mine = {
            name.split("attn.")[1].removeprefix("inner."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"blocks.{index}.")
        }
        ups = {name: tensor for name, tensor in mine.items() if ".up." in name}
        for name, up in ups.items():
            layer, part = name.split(".up.")
            order = [other for other in ALL if f"{layer}.up.{other}" in ups]
            rank, at = up.shape[1], order.index(part)
            down = mine[f"{layer}.down"][at * rank : (at + 1) * rank]
            weight = getattr(block.attn, layer).weight
            start = "qkv".index(part) * len(up) if layer == "qkv" else 0
            with torch.no_grad():
                weight[start : start + len(up)] += alpha_over_rank * (up @ down)
    return copied


@pytest.mark.parametrize("targets", [("q", "v"), ("k",), ("proj",), ALL])
@pytest.mark.parametrize("name", FUSED + SEPARATE + ["monai"])
def test_lora_is_w_plus_ba(name, targets):
    backbone = monai_vit() if name == "monai" else timm_vit(name)
    net = tuned(backbone, Lora(rank=3, alpha=6.0, targets=targets))
    x = images_for(net.vit)
    by_hand = TunedViT(updated_by_hand(backbone, net, 2.0), 3, method="linear").eval()
    plain = TunedViT(backbone, 3, method="linear").eval()
    torch.testing.assert_close(net.features(x), by_hand.features(x), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(net.features(x), plain.features(x), atol=1e-4)


@pytest.mark.parametrize("name", FUSED + SEPARATE + ["monai"])
def test_merged_is_equal_and_plain(name):
    backbone = monai_vit(3, img_size=16) if name == "monai" else timm_vit(name)
    net = tuned(backbone, Lora(targets=ALL))
    x = images_for(net.vit)
    merged = net.fold()
    torch.testing.assert_close(merged(x), net(x), atol=1e-5, rtol=1e-5)
    assert not list(tuners(merged.backbone))
    assert merged.backbone.state_dict().keys() == TunedViT(backbone, 3, method="linear").backbone.state_dict().keys()
    assert merged.count().delta == 0
    with pytest.raises(ValueError, match="merged network has no delta"):
        merged.save_delta("anywhere.safetensors")
    with pytest.raises(ValueError, match="no plain backbone"), merged.disabled():
        pass


@pytest.mark.parametrize("name", FUSED + SEPARATE)
def test_starts_as_the_backbone(name):
    backbone = timm_vit(name)
    net = TunedViT(backbone, 3, method=Lora(targets=ALL)).eval()
    x = images_for(net.vit)
    plain = TunedViT(backbone, 3, method="linear").eval()
    assert_same(net.features(x), plain.features(x))
    with net.disabled():
        assert torch.equal(net.features(x), plain.features(x))


def test_eva_reads_its_weight_and_is_opened_for_it():
    net = TunedViT(timm_vit("eva02_tiny_patch14_224"), 3, method="lora")
    assert any(isinstance(tuner, OpenAttention) for _, tuner in tuners(net.backbone))
    net = TunedViT(timm_vit("vit_tiny_patch16_224"), 3, method="lora")
    assert not any(isinstance(tuner, OpenAttention) for _, tuner in tuners(net.backbone))


def test_no_gradient_of_a_full_weight():
    net = tuned(timm_vit("vit_tiny_patch16_224"), Lora(targets=ALL))
    shapes = set()

    class Shapes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if func is not torch.ops.aten.t.default and isinstance(out, torch.Tensor):
                shapes.add((str(func), tuple(out.shape)))
            return out

    loss = net(images_for(net.vit)).sum()
    with Shapes():
        loss.backward()
    made = {shape for _, shape in shapes}
    assert (4, 48) in made  # the gradient of `down` of the output projection: the look was worth it
    assert not made & {(144, 48), (48, 144), (48, 48)}


def test_settings_are_equal_in_any_order():
    assert Lora(targets=["v", "q"]) == Lora(targets=("q", "v")) == Lora()
    assert Lora().settings()["targets"] == ("q", "v")


def test_update_keeps_to_its_rows():
    linear = torch.nn.Linear(8, 24)
    lora = LoraLinear(linear, {"q": slice(0, 8), "v": slice(16, 24)}, rank=2, scale=1.0)
    torch.nn.init.ones_(lora.up["v"])
    x = torch.randn(5, 8)
    change = lora(x) - linear(x)
    assert torch.equal(change[:, :16], torch.zeros(5, 16))
    torch.testing.assert_close(change[:, 16:], (x @ lora.down[2:].T).sum(1, keepdim=True).expand(5, 8))


def test_half_precision_backbone():
    backbone = timm_vit("vit_tiny_patch16_224").bfloat16()
    net = TunedViT(backbone, 3, method=Lora(targets=ALL))
    features = net.features(images_for(net.vit).bfloat16())
    features.float().sum().backward()
    assert features.dtype == torch.bfloat16
    assert {p.dtype for p in net.backbone.parameters() if p.requires_grad} == {torch.float32}


def test_unknown_attention_is_an_error():
    backbone = timm.create_model("vit_tiny_patch16_224", depth=1, embed_dim=48, num_heads=3, attn_layer="diff")
    for method in ("lora", "proj", "ept", "damp", "vpt"):
        with pytest.raises(TypeError, match="DiffAttention is not supported"):
            TunedViT(backbone, 2, method=method)


def test_a_missing_projection_lists_those_there():
    backbone = timm_vit("vit_tiny_patch16_224")
    backbone.blocks[1].attn.proj = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"no projection 'proj' in the Attention of layer 1: it has 'q', 'k', 'v'"):
        TunedViT(backbone, 2, method=Lora(targets=["proj"]))
