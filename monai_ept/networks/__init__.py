# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.networks.attention import (
    EMBEDDINGS,
    attention_kept,
    attention_weights,
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
