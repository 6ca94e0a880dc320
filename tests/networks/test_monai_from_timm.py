# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch

from monai_ept import EPTWrapper
from monai_ept.networks import create_backbone, monai_vit_from_timm
from tests.backbones import images_for, timm_vit
from tests.rounding import NETWORK, assert_same


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit3_small_patch16_224", "vit_base_patch32_384"])
def test_equal_in_2d(name):
    source = timm_vit(name)
    target = monai_vit_from_timm(source).eval()
    x = torch.randn(2, 3, *source.patch_embed.img_size)
    assert_same(target(x)[0], source(x), NETWORK)


def test_tuned_networks_agree_too():
    source = timm_vit(num_classes=0)
    ours = EPTWrapper(source, 3, prompt_length=7).eval()
    theirs = EPTWrapper(monai_vit_from_timm(source), 3, prompt_length=7).eval()
    theirs.head.load_state_dict(ours.head.state_dict())
    for one, other in zip(ours.vit.blocks, theirs.vit.blocks, strict=True):
        other.attn.prompt.load_state_dict(one.attn.prompt.state_dict())
    x = images_for(ours.vit)
    assert_same(theirs(x), ours(x), NETWORK)
    assert theirs.vit.mean == ours.vit.mean


def test_a_volume_of_equal_slices_gives_the_tokens_of_its_slice():
    source = timm_vit().double()
    flat = monai_vit_from_timm(source).double()
    deep = monai_vit_from_timm(source, spatial_dims=3, img_size=(64, 64, 48), patch_size=(16, 16, 16)).double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    tokens = deep.patch_embedding(x[..., None].expand(-1, -1, -1, -1, 48)).reshape(2, 16, 3, 48)
    for depth in range(3):
        assert_same(tokens[:, :, depth], flat.patch_embedding(x), NETWORK)


def test_and_the_same_answer():
    # repeating every token leaves attention's averages as they are; class tokens count once, so not to the last digit
    source = timm_vit()
    deep = monai_vit_from_timm(source, spatial_dims=3, img_size=(64, 64, 16)).eval()
    x = torch.randn(2, 3, 64, 64)
    assert_same(deep(x[..., None].expand(-1, -1, -1, -1, 16))[0], source(x), NETWORK)


@pytest.mark.parametrize("in_channels", [1, 3, 4])
def test_any_number_of_channels(in_channels):
    source = timm_vit()
    vit = monai_vit_from_timm(source, spatial_dims=3, img_size=32, patch_size=8, in_channels=in_channels)
    net = EPTWrapper(vit, 2)
    assert net.vit.in_channels == in_channels
    assert net(images_for(net.vit)).shape == (2, 2)
    if in_channels == 1:
        grey = monai_vit_from_timm(source, in_channels=1)
        x = torch.randn(2, 1, 64, 64)
        colour = monai_vit_from_timm(source)
        assert_same(grey(x)[0], colour(x.expand(-1, 3, -1, -1))[0], NETWORK)


def test_the_source_stays_as_it_was():
    source = timm_vit("deit3_small_patch16_224")
    before = {name: value.clone() for name, value in source.state_dict().items()}
    target = monai_vit_from_timm(source)
    with torch.no_grad():
        for param in target.parameters():
            param.zero_()
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_base_patch16_clip_224", "it has a norm before the blocks"),
        ("deit_tiny_distilled_patch16_224", "it has 2 prefix tokens instead of one class token"),
        ("vit_little_patch16_reg4_gap_256", "'avg' pooling instead of the class token"),
        ("vit_intern300m_patch14_448", "a final norm that is Identity instead of LayerNorm"),
        ("eva02_tiny_patch14_224", "Eva cannot become a MONAI ViT"),
    ],
)
def test_what_cannot_be_converted_says_why(name, message):
    with pytest.raises(ValueError, match=message):
        monai_vit_from_timm(timm_vit(name))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims must be 2 or 3, got 4"),
        (
            {"spatial_dims": 3, "img_size": (64, 64, 40)},
            r"not a multiple of patch_size .* along axis 2: 32 would do there",
        ),
        ({"img_size": 8}, "along axis 0: 16 would do there"),
    ],
)
def test_bad_sizes(settings, message):
    with pytest.raises(ValueError, match=message):
        monai_vit_from_timm(timm_vit(), **settings)


@pytest.mark.skipif("MONAI_EPT_DATA" not in os.environ, reason="set MONAI_EPT_DATA to the folder of real weights")
def test_real_weights():
    weights = Path(os.environ["MONAI_EPT_DATA"]) / "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
    source = create_backbone("vit_tiny_patch16_224", pretrained=weights).eval()
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert_same(monai_vit_from_timm(source).eval()(x)[0], source(x), NETWORK)
    assert isinstance(source, timm.models.VisionTransformer)
