# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch

from monai_ept import TunedViT
from tests.backbones import monai_vit, timm_vit
from tests.methods.cases import trained_names


def test_all_that_the_forward_uses_trains():
    backbone = timm_vit("eva02_tiny_patch14_224")
    everything = {name for name, _ in backbone.named_parameters() if not name.startswith("head.")}
    assert trained_names(backbone, "full") == everything


def test_what_monai_never_uses_is_left_alone():
    names = trained_names(monai_vit(), "full")
    assert "patch_embedding.position_embeddings" in names
    assert not [name for name in names if "cross_attn" in name]
    for fixed in ("sincos", "none"):
        assert "patch_embedding.position_embeddings" not in trained_names(monai_vit(pos_embed_type=fixed), "full")


def test_thawing_goes_no_further_than_the_backbone():
    net = TunedViT(timm_vit(), 2, method=["damp", "full"])
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {f"backbone.blocks.{i}.attn.prompt.logits" for i in (0, 1)}
    assert net.count().delta == net.count().backbone
    assert torch.equal(net.backbone.blocks[0].attn.prompt.sink, torch.full((17,), 4.6))
