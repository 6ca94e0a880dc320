# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks.selfattention import SABlock
from timm.layers.attention import Attention
from torch.nn import functional as F

from monai_ept import EPTWrapper
from monai_ept.networks import (
    EmbeddedPrompt,
    PromptedAttention,
    attention_classes,
    attention_halves,
    register_attention,
)
from monai_ept.networks.attention import prompted_attention
from tests.backbones import TIMM_FAMILIES, images_for, monai_vit, timm_vit
from tests.rounding import NETWORK, assert_same

PLAIN_SDPA = F.scaled_dot_product_attention


def answer_of_the_original_forward(backbone, run, prompts, monkeypatch, embed="concat"):
    """The backbone's own code, with prompts slipped into the one call between its halves."""
    layers = iter(prompts)

    def prompted(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **kwargs):
        if query.shape[-2] != key.shape[-2]:  # the pool at the end, which is no layer
            return PLAIN_SDPA(query, key, value, attn_mask=attn_mask, scale=scale)
        return prompted_attention(
            query, key, value, next(layers), scale, embed=embed, mask=attn_mask, dropout=dropout_p
        )

    with monkeypatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", prompted)
        out = run(backbone)
    assert next(layers, None) is None
    return out


def prompts_of(net):
    return [block.attn.prompt.logits for block in net.vit.blocks]


def enlarge(net):
    """Prompts that differ a lot, so that a wrong place would show."""
    torch.manual_seed(2)
    for logits in prompts_of(net):
        torch.nn.init.normal_(logits, std=1.5)


@pytest.mark.parametrize("embed", ["concat", "scaled_concat", "add", "multiply"])
@pytest.mark.parametrize("name", list(TIMM_FAMILIES))
def test_timm_families(name, embed, monkeypatch):
    backbone = timm_vit(name)
    net = EPTWrapper(backbone, 3, prompt_length=7, embed=embed).eval()
    enlarge(net)
    x = images_for(net.vit)
    expected = answer_of_the_original_forward(
        backbone,
        lambda vit: vit.forward_head(vit.forward_features(x), pre_logits=True),
        prompts_of(net),
        monkeypatch,
        embed,
    )
    features = net.features(x)
    assert_same(features, expected, NETWORK)
    # Both frozen: PyTorch may choose another kernel for a pool whose latent wants a gradient.
    backbone.requires_grad_(False)
    with torch.no_grad(), net.disabled():
        plain = net.features(x)
        assert torch.equal(plain, backbone.forward_head(backbone.forward_features(x), pre_logits=True))
    assert (features - plain).abs().max() > 1e-3, "prompts must matter for the comparison to say anything"


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("classification", [True, False])
def test_monai_vit(spatial_dims, classification, monkeypatch):
    backbone = monai_vit(spatial_dims, classification=classification)
    net = EPTWrapper(backbone, 3, prompt_length=7).eval()
    enlarge(net)
    x = images_for(net.vit)
    for block in backbone.blocks:
        block.attn.use_flash_attention = True  # the way of MONAI's own that has a call to slip into

    def features(vit):
        if classification:
            vit.classification_head = torch.nn.Identity()
            return vit(x)[0]
        return vit(x)[0].mean(1)

    expected = answer_of_the_original_forward(backbone, features, prompts_of(net), monkeypatch)
    assert_same(net.features(x), expected, NETWORK)


@pytest.mark.parametrize(
    "options",
    [
        {"qk_norm": True},
        {"scale_norm": True},
        {"gated": True},
        {"attn_head_dim": 8},
        {"qkv_bias": True, "proj_bias": False},
        {"qk_norm": True, "scale_norm": True, "gated": True, "qkv_bias": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_timm_attention_options(options, monkeypatch):
    if "gated" in options and "gated" not in Attention.__init__.__annotations__:
        pytest.skip("this timm has no gated attention")
    torch.manual_seed(0)
    attn = Attention(48, num_heads=3, norm_layer=torch.nn.LayerNorm, **options).eval()
    wrapped = PromptedAttention(attn, EmbeddedPrompt(9, 4, init="zero"))
    x = torch.randn(2, 9, 48)
    expected = answer_of_the_original_forward(attn, lambda a: a(x), [wrapped.prompt.logits], monkeypatch)
    assert_same(wrapped(x), expected)


@pytest.mark.parametrize("is_causal", [False, True])
def test_masks_reach_the_softmax(is_causal, monkeypatch):
    torch.manual_seed(0)
    attn = Attention(48, num_heads=3).eval()
    wrapped = PromptedAttention(attn, EmbeddedPrompt(9, 4))
    x = torch.randn(2, 9, 48)
    mask = None if is_causal else torch.rand(2, 1, 9, 9) > 0.4
    causal = torch.ones(9, 9, dtype=torch.bool).tril() if is_causal else mask
    expected = answer_of_the_original_forward(
        attn, lambda a: a(x, attn_mask=causal), [wrapped.prompt.logits], monkeypatch
    )
    assert_same(wrapped(x, attn_mask=mask, is_causal=is_causal), expected)


def test_monai_masks_hide_tokens():
    block = SABlock(48, 3).eval()
    wrapped = PromptedAttention(block, EmbeddedPrompt(9, 1, init="identity"))
    x = torch.randn(2, 9, 48)
    mask = torch.ones(2, 9)
    mask[:, 5:] = 0
    # MONAI itself wants one row of flags per image and turns it into one per key.
    keys = block.input_rearrange(block.qkv(x))
    weights = torch.einsum("bhxd,bhyd->bhxy", keys[0], keys[1]) * block.scale
    weights = weights.masked_fill(mask[:, None, None] == 0, float("-inf")).softmax(-1)
    expected = block.out_proj(block.out_rearrange(weights @ keys[2]))
    assert_same(wrapped(x, attn_mask=mask), expected)


@pytest.mark.parametrize(
    "options", [{"use_combined_linear": False}, {"dim_head": 8}, {"attention_dtype": torch.float32}]
)
def test_monai_sablock_options(options):
    torch.manual_seed(0)
    block = SABlock(48, 3, qkv_bias=True, **options).eval()
    wrapped = PromptedAttention(block, EmbeddedPrompt(9, 4, init="identity"))
    x = torch.randn(2, 9, 48)
    assert_same(wrapped(x), block(x))


class OwnAttention(Attention):
    """Scales its input, so that the parent's halves alone would be wrong."""

    def forward(self, x, attn_mask=None, is_causal=False):
        return super().forward(2 * x, attn_mask, is_causal)


def test_a_subclass_with_its_own_forward_is_not_taken_for_its_parent():
    with pytest.raises(
        TypeError, match=r"OwnAttention is not supported: supported are .*Attention.*register_attention"
    ):
        attention_halves(OwnAttention(48))


def test_registering_a_class(monkeypatch):
    before, after = attention_halves(Attention(48))
    monkeypatch.setattr(attention_classes, "_HALVES", dict(attention_classes._HALVES))  # for this test alone
    register_attention(OwnAttention, lambda attn, x, **kwargs: before(attn, 2 * x, **kwargs), after)
    torch.manual_seed(0)
    attn = OwnAttention(48, num_heads=3).eval()
    wrapped = PromptedAttention(attn, EmbeddedPrompt(9, 4, init="identity"))
    x = torch.randn(2, 9, 48)
    assert_same(wrapped(x), attn(x))


def test_relative_positions_of_monai_are_refused():
    block = SABlock(48, 3, rel_pos_embedding="decomposed", input_size=(3, 3)).eval()
    with pytest.raises(TypeError, match="rel_pos_embedding is not supported"):
        PromptedAttention(block, EmbeddedPrompt(9, 4))(torch.randn(2, 9, 48))
