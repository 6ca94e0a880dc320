# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
from torch import nn

from monai_ept import TunedViT
from tests.backbones import monai_vit, timm_vit
from tests.methods.cases import trained_names


def test_norms_of_every_kind_are_found():
    def norms(backbone):
        return {
            name.rpartition(".")[0].split(".", 2)[-1] for name in trained_names(backbone, "ln") if "blocks.0" in name
        }

    assert norms(timm_vit()) == {"norm1", "norm2"}
    assert norms(timm_vit(qk_norm=True)) == {"norm1", "norm2", "attn.q_norm", "attn.k_norm"}
    assert norms(timm_vit("eva02_tiny_patch14_224", scale_mlp=True)) == {"norm1", "norm2", "mlp.norm"}
    assert norms(monai_vit()) == {"norm1", "norm2"}
    rms = trained_names(timm_vit("aimv2_large_patch14_224"), "ln")
    assert {"blocks.0.norm1.weight", "norm.weight"} <= rms
    assert not [name for name in rms if name.endswith("bias")]
    assert {"norm_pre.weight", "norm.bias"} <= trained_names(timm_vit("vit_base_patch16_clip_224"), "ln")


def test_nothing_to_train_is_an_error_with_candidates():
    backbone = timm_vit()
    for module in backbone.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight = module.bias = None
    with pytest.raises(ValueError, match=r"method 'ln' finds no norms with a scale or shift in .*attn\.qkv\.weight"):
        TunedViT(backbone, 2, method="ln")
