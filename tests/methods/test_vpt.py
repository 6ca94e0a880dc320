# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch

from monai_ept import TunedViT
from monai_ept.methods import Vpt
from tests.backbones import images_for, monai_vit, timm_vit
from tests.methods.cases import tuned

# One of each: class token, registers without one, average pooling, attention pooling, no prefix at all, and rotary
# embeddings of three kinds, for attention of two classes.
FAMILIES = [
    "vit_tiny_patch16_224",
    "vit_little_patch16_reg4_gap_256",
    "vit_so150m_patch16_reg4_map_256",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_clip_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_dinov3",
    "vit_pe_core_tiny_patch16_384",
    "vit_small_patch16_rope_224",
    "vit_base_patch16_rope_mixed_224",
]


def prompts_of(net):
    return [net.get_parameter(name) for name, p in net.named_parameters() if name.endswith(".prompt")]


def concatenated(model, x, prompts, deep):
    """Features with the prompts written out, on a copy of the backbone whose prefix is longer by as many."""
    model = copy.deepcopy(model)
    prefix, n = model.num_prefix_tokens, len(prompts[0])
    for block in model.blocks:
        if hasattr(block.attn, "num_prefix_tokens"):
            block.attn.num_prefix_tokens += n
    x = model.patch_embed(x)
    x = model._pos_embed(x)
    x, rope = x if isinstance(x, tuple) else (x, None)
    x = model.norm_pre(x)
    for index, block in enumerate(model.blocks):
        if deep or index == 0:
            tokens = prompts[index].expand(len(x), -1, -1)
            x = torch.cat([x[:, :prefix], tokens, x[:, prefix:]], dim=1)
        mixed = getattr(model, "rope_mixed", False)
        x = block(x) if rope is None else block(x, rope=rope[index] if mixed else rope)
        if deep or index == len(model.blocks) - 1:
            x = torch.cat([x[:, :prefix], x[:, prefix + n :]], dim=1)
    return model.forward_head(model.norm(x), pre_logits=True)


@pytest.mark.parametrize("layers", ["deep", "shallow"])
@pytest.mark.parametrize("name", FAMILIES)
def test_equals_explicit_concatenation(name, layers):
    backbone = timm_vit(name)
    net = tuned(backbone, Vpt(num_tokens=5, layers=layers))
    x = images_for(net.vit)
    expected = concatenated(backbone, x, prompts_of(net), layers == "deep")
    torch.testing.assert_close(net.features(x), expected, atol=1e-5, rtol=1e-5)
    with net.disabled():
        assert not torch.allclose(net.features(x), expected, atol=1e-4)


@pytest.mark.parametrize("classification", [True, False])
def test_monai_equals_explicit_concatenation(classification):
    backbone = monai_vit(3, img_size=16, classification=classification)
    net = tuned(backbone, Vpt(num_tokens=4, layers="deep"))
    images = images_for(net.vit)
    x = backbone.patch_embedding(images)
    prefix = 0
    if classification:
        prefix = 1
        x = torch.cat([backbone.cls_token.expand(len(x), -1, -1), x], dim=1)
    for block, prompt in zip(backbone.blocks, prompts_of(net), strict=True):
        x = block(torch.cat([prompt.expand(len(x), -1, -1), x], dim=1))[:, 4:]
    x = backbone.norm(x)
    expected = x[:, 0] if prefix else x.mean(1)
    torch.testing.assert_close(net.features(images), expected, atol=1e-5, rtol=1e-5)


def test_dropout_only_while_training():
    net = tuned(timm_vit(), Vpt(num_tokens=5, dropout=0.5))
    x = images_for(net.vit)
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))


def test_prompts_start_within_the_bound_of_the_paper():
    net = TunedViT(timm_vit(), 2, method=Vpt(num_tokens=200))
    bound = (6 / (3 * 16 * 16 + 48)) ** 0.5
    for prompt in prompts_of(net):
        assert bound * 0.98 < prompt.abs().max() <= bound


@pytest.mark.parametrize("method", [Vpt(num_tokens=5), ["vpt", "ept"]])
def test_delta_fits_another_image_size(method, tmp_path):
    small = tuned(timm_vit(), method)
    small.save_delta(tmp_path / "delta.safetensors")
    backbone = timm_vit()
    backbone.set_input_size((96, 128))
    large = TunedViT(backbone, 3, method=method).eval()
    large.load_delta(tmp_path / "delta.safetensors")
    for ours, theirs in zip(prompts_of(small), prompts_of(large), strict=True):
        assert torch.equal(ours, theirs)
    assert large(images_for(large.vit)).shape == (2, 3)
    if method != Vpt(num_tokens=5):
        # The rows of the class token and of the added tokens are kept, those of the patches are resized.
        before, after = (net.backbone.blocks[0].inner.attn.prompt.sink for net in (small, large))
        torch.testing.assert_close(after[:51], before[:51])
        assert after.shape == (51 + 6 * 8,)
