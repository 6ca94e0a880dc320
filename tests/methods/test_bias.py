# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept import TunedViT
from tests.backbones import timm_vit
from tests.methods.cases import trained_names


def test_biases_that_are_kept_apart_are_found():
    names = trained_names(timm_vit("eva02_tiny_patch14_224", scale_mlp=True), "bias")
    assert {"blocks.0.attn.q_bias", "blocks.0.attn.v_bias", "blocks.1.mlp.norm.bias", "patch_embed.proj.bias"} <= names
    assert all(name.endswith("bias") for name in names)


def test_nothing_to_train_is_an_error_with_candidates():
    backbone = timm_vit()
    for module in backbone.modules():
        if getattr(module, "bias", None) is not None:
            module.bias = None
    with pytest.raises(ValueError, match=r"method 'bias' finds no bias terms in VisionTransformer.*attn\.qkv\.weight"):
        TunedViT(backbone, 2, method="bias")
