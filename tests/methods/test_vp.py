# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from monai_ept import TunedViT
from monai_ept.methods import Vp
from monai_ept.methods.vp import FramedImage
from monai_ept.networks import tuners
from tests.backbones import images_for, monai_vit, shaken, timm_vit
from tests.methods.cases import tuned


def frame_of(net):
    return next(tuner for _, tuner in tuners(net.backbone) if isinstance(tuner, FramedImage)).frame()


@pytest.mark.parametrize(
    "build", [timm_vit, lambda: monai_vit(3, img_size=16), lambda: monai_vit(proj_type="perceptron")]
)
def test_a_frame_is_an_image_added_to_the_image(build):
    backbone = build()
    net = tuned(backbone, Vp(on="frame", size=3), stir=1.0)
    x = images_for(net.vit)
    frame = frame_of(net)
    assert frame.shape == x.shape[1:]
    core = tuple(slice(3, -3) for _ in net.vit.img_size)
    assert torch.equal(frame[(slice(None), *core)], torch.zeros_like(frame[(slice(None), *core)]))
    frame = frame.detach().clone()
    assert (frame == 0).sum() == frame[(slice(None), *core)].numel()
    with net.disabled():
        assert torch.equal(net.features(x + frame), net.features(x + frame))
        expected = net.features(x + frame)
    torch.testing.assert_close(net.features(x), expected)


def test_a_frame_may_cover_the_image():
    net = tuned(monai_vit(3, img_size=16), Vp(on="frame", size=8))
    assert (frame_of(net) != 0).all()


@pytest.mark.parametrize("on", ["input", "layers"])
def test_tokens_get_values_and_the_prefix_none(on):
    backbone = timm_vit("vit_base_patch14_reg4_dinov2")
    net = tuned(backbone, Vp(on=on), stir=1.0)
    x = images_for(net.vit)
    values = [net.get_parameter(name) for name, _ in net.named_parameters() if name.endswith(".values")]
    assert len(values) == (len(backbone.blocks) if on == "layers" else 1)
    tokens = backbone.norm_pre(backbone._pos_embed(backbone.patch_embed(x)))
    for index, block in enumerate(backbone.blocks):
        if index < len(values):
            tokens = torch.cat([tokens[:, :5], tokens[:, 5:] + values[index]], dim=1)
        tokens = block(tokens)
    expected = backbone.forward_head(backbone.norm(tokens), pre_logits=True)
    torch.testing.assert_close(net.features(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("on", ["input", "layers", "frame"])
def test_starts_as_the_backbone(on):
    backbone = timm_vit()
    net = TunedViT(backbone, 2, method=Vp(on=on)).eval()
    x = images_for(net.vit)
    assert torch.equal(net.features(x), TunedViT(backbone, 2, method="linear").eval().features(x))


@pytest.mark.parametrize("on", ["input", "frame"])
def test_delta_is_resized_to_another_image_size(on, tmp_path):
    small = tuned(timm_vit(img_size=64), Vp(on=on, size=3), stir=1.0)
    small.save_delta(tmp_path / "delta.safetensors")
    torch.manual_seed(0)
    backbone = timm_vit(img_size=64)
    backbone.set_input_size((96, 128))
    large = TunedViT(backbone, 3, method=Vp(on=on, size=3))
    large.load_delta(tmp_path / "delta.safetensors")
    if on == "frame":
        before, after = frame_of(small), frame_of(large)
        for corner in ((slice(None, 3), slice(None, 3)), (slice(-3, None), slice(-3, None))):
            assert before[0][corner].abs().min() > 0
        assert after.shape == (3, 96, 128)
        assert (after[:, 3:-3, 3:-3] == 0).all()
        expected = F.interpolate(before[None, :, :3], size=(3, 128), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(after[:, :3], expected)
    else:
        before, after = (dict(net.named_parameters())["backbone.blocks.0.values"] for net in (small, large))
        expected = F.interpolate(
            before.T.reshape(1, 48, 4, 4), size=(6, 8), mode="bicubic", antialias=True, align_corners=False
        )
        torch.testing.assert_close(after, expected.flatten(2)[0].T)


def test_a_hybrid_sees_the_frame_before_its_convolutions():
    torch.manual_seed(0)
    backbone = shaken(
        timm.create_model("vit_tiny_r_s16_p8_224", depth=1, embed_dim=48, num_heads=3, img_size=64)
    ).eval()
    assert hasattr(backbone.patch_embed, "backbone")
    net = tuned(backbone, Vp(on="frame", size=3), stir=1.0)
    assert isinstance(net.backbone.patch_embed.backbone, FramedImage)
    x = images_for(net.vit)
    with net.disabled():
        expected = net.features(x + frame_of(net))
    torch.testing.assert_close(net.features(x), expected)
