# SPDX-License-Identifier: Apache-2.0

"""Backbones of many families, small enough to test with, and the pictures they see."""

from __future__ import annotations

import timm
import torch
from monai.networks.nets import ViT
from torch import Tensor, nn

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}

# Real timm names; each brings something of its own to the attention or to the tokens.
TIMM_FAMILIES: dict[str, dict] = {
    "vit_tiny_patch16_224": {"img_size": 64, **SMALL},
    "vit_base_patch32_384": {"img_size": 64, **SMALL},
    "vit_base_patch16_siglip_224": {"img_size": 64, **SMALL},  # no prefix token, pooled by attention
    "vit_base_patch14_reg4_dinov2": {"img_size": 56, **SMALL},  # registers, LayerScale
    "vit_base_patch16_clip_224": {"img_size": 64, **SMALL},  # norm before the blocks
    "deit3_small_patch16_224": {"img_size": 64, **SMALL},
    "deit_tiny_distilled_patch16_224": {"img_size": 64, **SMALL},  # two prefix tokens
    "vit_little_patch16_reg4_gap_256": {"img_size": 64, **SMALL},  # registers without a class token, average pooling
    "vit_so150m_patch16_reg4_map_256": {"img_size": 64, **SMALL},
    "flexivit_small": {"img_size": 64, **SMALL},
    "vit_small_patch16_36x1_224": {"img_size": 64, **SMALL},
    "eva_large_patch14_196": {"img_size": 56, **SMALL},
    "aimv2_large_patch14_224": {"img_size": 56, **SMALL},  # RMS norm, gated MLP
    "vit_intern300m_patch14_448": {"img_size": 56, **SMALL},
    "test_vit4": {},  # registers, LayerScale and DropPath in timm's own test model
    "eva02_tiny_patch14_224": {"img_size": 56, **SMALL},  # rotary embeddings, biases apart from the projection
    "vit_small_patch16_dinov3": {"img_size": 64, **SMALL},  # rotary embeddings, five prefix tokens
    "vit_pe_core_tiny_patch16_384": {"img_size": 64, **SMALL},  # AttentionRope, pooled by attention
    "vit_small_patch16_rope_224": {"img_size": 64, **SMALL},
    "vit_base_patch16_rope_mixed_224": {"img_size": 64, **SMALL},  # rotary embeddings that differ by layer
    "vit_betwixt_patch16_rope_reg4_gap_256": {"img_size": 64, **SMALL},
    "vit_base_patch16_sapiens2": {"img_size": 64, "depth": 2, "embed_dim": 96, "num_heads": 6, "num_kv_heads": 3},
}


def timm_vit(name: str = "vit_tiny_patch16_224", **overrides) -> nn.Module:
    """A small timm model with every weight at random: some start at zero and would hide mistakes."""
    torch.manual_seed(0)
    return shaken(timm.create_model(name, **{**TIMM_FAMILIES[name], **overrides})).eval()


def monai_vit(spatial_dims: int = 2, **overrides) -> ViT:
    torch.manual_seed(0)
    settings = {
        "in_channels": 1,
        "img_size": 64 if spatial_dims == 2 else 32,
        "patch_size": 16 if spatial_dims == 2 else 8,
        "hidden_size": 48,
        "mlp_dim": 96,
        "num_layers": 2,
        "num_heads": 3,
        "classification": True,
        "spatial_dims": spatial_dims,
        "qkv_bias": True,
    }
    return shaken(ViT(**{**settings, **overrides})).eval()


def shaken(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for param in model.parameters():
            param.add_(torch.randn_like(param) * 0.1)
    return model


def images_for(vit, batch: int = 2) -> Tensor:
    """Images that fit a face, the same each time."""
    return torch.randn(batch, vit.in_channels, *vit.img_size, generator=torch.Generator().manual_seed(1))
