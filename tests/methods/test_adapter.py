# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer
from torch.nn import functional as F

from monai_ept import TunedViT
from monai_ept.methods import Adapter
from tests.backbones import images_for, timm_vit
from tests.methods.cases import tuned


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224", "aimv2_large_patch14_224"])
def test_adds_a_bottleneck_beside_the_mlp(name):
    backbone = timm_vit(name)
    net = tuned(backbone, Adapter(reduction=6, scale=0.5))
    adapter = net.backbone.blocks[0].mlp
    x = torch.randn(2, 7, 48)
    low = F.relu(x @ adapter.down.weight.T + adapter.down.bias)
    expected = backbone.blocks[0].mlp(x) + 0.5 * (low @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(adapter(x), expected, atol=1e-5, rtol=1e-5)
    assert adapter.down.out_features == 8


def test_starts_as_the_backbone():
    backbone = timm_vit()
    net = TunedViT(backbone, 2, method="adapter").eval()
    x = images_for(net.vit)
    assert torch.equal(net.features(x), TunedViT(backbone, 2, method="linear").eval().features(x))


def test_a_block_without_an_mlp_of_its_own_is_an_error():
    backbone = VisionTransformer(img_size=32, depth=1, embed_dim=48, num_heads=3, block_fn=ParallelScalingBlock)
    with pytest.raises(TypeError, match=r"no single MLP module `mlp` to wrap.*in_norm, in_proj"):
        TunedViT(backbone, 2, method="adapter")
