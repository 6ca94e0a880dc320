# SPDX-License-Identifier: Apache-2.0

"""Methods that train what is in the backbone already."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ept import TunedViT
from monai_ept.methods import Partial
from tests.backbones import monai_vit, timm_vit


def trained(backbone, method):
    net = TunedViT(backbone, 2, method=method)
    return {
        name.removeprefix("backbone.") for name, p in net.named_parameters() if p.requires_grad and "head" not in name
    }


def test_full_trains_all_that_the_forward_uses():
    backbone = timm_vit("eva02_tiny_patch14_224")
    everything = {name for name, _ in backbone.named_parameters() if not name.startswith("head.")}
    assert trained(backbone, "full") == everything


def test_full_leaves_alone_what_monai_never_uses():
    names = trained(monai_vit(), "full")
    assert "patch_embedding.position_embeddings" in names
    assert not [name for name in names if "cross_attn" in name]
    for fixed in ("sincos", "none"):
        assert "patch_embedding.position_embeddings" not in trained(monai_vit(pos_embed_type=fixed), "full")


@pytest.mark.parametrize("num_blocks", [1, 2])
def test_partial_takes_the_last_blocks_and_the_final_norm(num_blocks):
    backbone = timm_vit("vit_pe_core_tiny_patch16_384")
    names = trained(backbone, Partial(num_blocks))
    blocks = {name for name, _ in backbone.named_parameters() if name.startswith(("blocks.0.", "blocks.1."))}
    wanted = {name for name in blocks if name.startswith("blocks.1.") or num_blocks == 2}
    assert names == wanted | {"norm.weight", "norm.bias"}
    assert any(name.startswith("attn_pool") for name, _ in backbone.named_parameters())


def test_partial_takes_the_norm_after_an_average_too():
    assert {"fc_norm.weight", "fc_norm.bias"} <= trained(timm_vit("vit_little_patch16_reg4_gap_256"), "partial")


def test_bias_finds_those_kept_apart():
    names = trained(timm_vit("eva02_tiny_patch14_224", scale_mlp=True), "bias")
    assert {"blocks.0.attn.q_bias", "blocks.0.attn.v_bias", "blocks.1.mlp.norm.bias", "patch_embed.proj.bias"} <= names
    assert all(name.endswith("bias") for name in names)


def test_ln_finds_norms_of_every_kind():
    def norms(backbone):
        return {name.rpartition(".")[0].split(".", 2)[-1] for name in trained(backbone, "ln") if "blocks.0" in name}

    assert norms(timm_vit()) == {"norm1", "norm2"}
    assert norms(timm_vit(qk_norm=True)) == {"norm1", "norm2", "attn.q_norm", "attn.k_norm"}
    assert norms(timm_vit("eva02_tiny_patch14_224", scale_mlp=True)) == {"norm1", "norm2", "mlp.norm"}
    assert norms(monai_vit()) == {"norm1", "norm2"}
    rms = trained(timm_vit("aimv2_large_patch14_224"), "ln")
    assert {"blocks.0.norm1.weight", "norm.weight"} <= rms
    assert not [name for name in rms if name.endswith("bias")]
    assert {"norm_pre.weight", "norm.bias"} <= trained(timm_vit("vit_base_patch16_clip_224"), "ln")


def test_proj_takes_weight_and_bias_of_the_output_projection():
    assert trained(timm_vit(), "proj") == {f"blocks.{i}.attn.proj.{key}" for i in (0, 1) for key in ("weight", "bias")}
    names = trained(monai_vit(), "proj")
    assert names == {f"blocks.{i}.attn.out_proj.{key}" for i in (0, 1) for key in ("weight", "bias")}


@pytest.mark.parametrize(("method", "what"), [("bias", "bias terms"), ("ln", "norms with a scale or shift")])
def test_nothing_to_train_is_an_error_with_candidates(method, what):
    backbone = timm_vit()
    for module in backbone.modules():
        if method == "bias" and getattr(module, "bias", None) is not None:
            module.bias = None
        if method == "ln" and isinstance(module, nn.LayerNorm):
            module.weight = module.bias = None
    with pytest.raises(ValueError, match=f"method '{method}' finds no {what} in VisionTransformer.*attn.qkv.weight"):
        TunedViT(backbone, 2, method=method)


def test_no_output_projection_is_an_error_with_candidates():
    backbone = timm_vit()
    for block in backbone.blocks:
        block.attn.proj = nn.Identity()
    with pytest.raises(ValueError, match="method 'proj' finds no output projection"):
        TunedViT(backbone, 2, method="proj")


def test_thawing_goes_no_further_than_the_backbone():
    net = TunedViT(timm_vit(), 2, method=["damp", "full"])
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {f"backbone.blocks.{i}.attn.prompt.logits" for i in (0, 1)}
    assert net.count().delta == net.count().backbone
    assert torch.equal(net.backbone.blocks[0].attn.prompt.sink, torch.full((17,), 4.6))
