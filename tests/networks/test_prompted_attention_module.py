# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from monai.networks.blocks.selfattention import SABlock
from timm.layers.attention import Attention

from monai_ept.networks import EmbeddedPrompt, PromptedAttention
from monai_ept.networks.attention import attention_weights
from tests.rounding import assert_same


def test_monai_attention_maps_stay_readable():
    block = SABlock(48, 3, save_attn=True).eval()
    wrapped = PromptedAttention(block, EmbeddedPrompt(9, 4))
    x = torch.randn(2, 9, 48)
    wrapped(x)
    q, k, _ = block.input_rearrange(block.qkv(x))
    assert_same(block.att_mat, attention_weights(q, k, wrapped.prompt.logits, block.scale))
    assert (block.att_mat.sum(-1) < 1).all()


def test_dropout_follows_the_mode_of_the_module():
    attn = Attention(48, num_heads=3, attn_drop=0.5)
    wrapped = PromptedAttention(attn, EmbeddedPrompt(9, 4))
    x = torch.randn(2, 9, 48)
    wrapped.eval()
    assert torch.equal(wrapped(x), wrapped(x))
    wrapped.train()
    assert not torch.equal(wrapped(x), wrapped(x))
