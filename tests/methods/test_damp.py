# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.methods import Damp
from monai_ept.networks import prompted_attention
from monai_ept.networks.prompted_attention_module import PromptedAttention
from tests.backbones import images_for, monai_vit, timm_vit
from tests.methods.cases import tuned


@pytest.mark.parametrize("build", [timm_vit, lambda: timm_vit("eva02_tiny_patch14_224"), lambda: monai_vit(3)])
def test_is_ept_held_at_its_start(build):
    backbone = build()
    damp = TunedViT(backbone, 2, method=Damp(c=math.log(7))).eval()
    ept = TunedViT(backbone, 2, method="ept", prompt_length=7, prompt_init="zero").eval()
    x = images_for(damp.vit)
    torch.testing.assert_close(damp.features(x), ept.features(x), atol=1e-5, rtol=1e-5)
    assert damp.count().delta == 0


def test_is_the_definition_with_one_column():
    net = TunedViT(timm_vit(), 2, method=Damp(c=2.0)).eval()
    attn = net.backbone.blocks[0].attn
    x = torch.randn(2, 17, 48)
    q, k, v = attn.inner.qkv(x).reshape(2, 17, 3, 3, 16).permute(2, 0, 3, 1, 4)
    expected = prompted_attention(q, k, v, torch.full((17, 1), 2.0)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attn(x), attn.inner.proj(expected), atol=1e-5, rtol=1e-5)


def test_layers():
    net = TunedViT(timm_vit(depth=3), 2, method=Damp(layers=[-1, 0]))
    wrapped = [isinstance(block.attn, PromptedAttention) for block in net.backbone.blocks]
    assert wrapped == [True, False, True]


def test_very_low_is_the_backbone_and_lower_is_weaker():
    backbone = timm_vit()
    x = images_for(TunedViT(backbone, 2).vit)
    plain = TunedViT(backbone, 2, method="linear").eval().features(x)
    apart = [(TunedViT(backbone, 2, method=Damp(c=c)).eval().features(x) - plain).norm() for c in (-60.0, 0.0, 4.6)]
    assert apart[0] < 1e-5 < apart[1] < apart[2]


def test_folds_to_itself(tmp_path):
    net = tuned(timm_vit(), "damp")
    folded = net.fold()
    x = images_for(net.vit)
    assert torch.equal(folded(x), net(x))
    folded.save_delta(tmp_path / "delta.safetensors")
    again = TunedViT.from_delta(tmp_path / "delta.safetensors", backbone=timm_vit()).eval()
    assert torch.equal(again(x), net(x))
