# SPDX-License-Identifier: Apache-2.0

"""Backbones, what stands around their modules, and the attention that prompts work in."""

from __future__ import annotations

from monai_ept.networks.attention import (
    EMBEDDINGS,
    attention_kept,
    attention_weights,
    concat_attention,
    prompted_attention,
    sink_attention,
)
from monai_ept.networks.attention_classes import (
    AttentionHalves,
    Heads,
    attention_halves,
    register_attention,
    supported_attention,
)
from monai_ept.networks.backbone import ViTFace, vit_face
from monai_ept.networks.embedded_prompt import PROMPT_INITS, EmbeddedPrompt, resize_tokens
from monai_ept.networks.heads import linear_head, mlp_head
from monai_ept.networks.load_backbone import create_backbone
from monai_ept.networks.monai_from_timm import monai_vit_from_timm
from monai_ept.networks.open_attention_module import OpenAttention
from monai_ept.networks.prompted_attention_module import PromptedAttention
from monai_ept.networks.tuner import Tuner, innermost, tuners, tuners_disabled

__all__ = [
    "EMBEDDINGS",
    "PROMPT_INITS",
    "AttentionHalves",
    "EmbeddedPrompt",
    "Heads",
    "OpenAttention",
    "PromptedAttention",
    "Tuner",
    "ViTFace",
    "attention_halves",
    "attention_kept",
    "attention_weights",
    "create_backbone",
    "innermost",
    "linear_head",
    "mlp_head",
    "monai_vit_from_timm",
    "prompted_attention",
    "register_attention",
    "resize_tokens",
    "sink_attention",
    "supported_attention",
    "tuners",
    "tuners_disabled",
    "vit_face",
]
