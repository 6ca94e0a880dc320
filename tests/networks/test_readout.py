# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import timm
import torch
from monai.networks.nets import ViT

from monai_ept import TunedViT
from monai_ept.delta import DeltaError
from tests.rounding import assert_same as close

TIMM = {
    "class-token": ("vit_tiny_patch16_224", 2),
    "registers": ("vit_small_patch14_reg4_dinov2", 2),
    "no-class-token": ("vit_base_patch16_siglip_224", 1),
    "eva": ("eva02_tiny_patch14_224", 2),
}


def small(name):
    return timm.create_model(name, depth=3, embed_dim=48, num_heads=3, img_size=56 if "14" in name else 64)


@pytest.fixture(params=sorted(TIMM))
def network(request):
    torch.manual_seed(0)
    name, parts = TIMM[request.param]
    return TunedViT(small(name), 3, readout=2).eval(), parts


def test_tokens_of_the_blocks(network):
    net, parts = network
    vit = net.vit
    images = torch.randn(2, 3, *vit.img_size)
    seen = []
    hooks = [block.register_forward_hook(lambda *call: seen.append(call[-1])) for block in vit.blocks]
    with torch.no_grad():
        features = net.features(images)
    for hook in hooks:
        hook.remove()
    assert features.shape == (2, 2 * parts * vit.embed_dim)
    first = torch.nn.functional.layer_norm(seen[1], seen[1].shape[-1:], eps=1e-6)
    expected = [first[:, vit.num_prefix_tokens :].mean(1)]
    if parts == 2:
        expected.insert(0, first[:, 0])
    close(features[:, : parts * vit.embed_dim], torch.cat(expected, 1))
    last = vit.final_norm(seen[2])
    close(features[:, -vit.embed_dim :], last[:, vit.num_prefix_tokens :].mean(1))


def test_the_class_token_of_the_last_block_is_the_pooled_feature():
    torch.manual_seed(0)
    backbone = small("vit_tiny_patch16_224")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = TunedViT(backbone, 3, method="linear").eval().features(images)
        read = TunedViT(backbone, 3, method="linear", readout=1).eval().features(images)
    close(read[:, :48], pooled)


def test_volumes():
    torch.manual_seed(0)
    for classification in (True, False):
        backbone = ViT(1, (16, 16, 16), (8, 8, 8), 48, 96, 3, 3, classification=classification)
        net = TunedViT(backbone, 2, readout=3, in_channels=1).eval()
        assert net.features(torch.randn(2, 1, 16, 16, 16)).shape == (2, 3 * 48 * (2 if classification else 1))


@pytest.mark.parametrize("layers", ["deep", "shallow"])
def test_prompts_between_class_token_and_patches_are_not_read(layers):
    torch.manual_seed(0)
    backbone = small("vit_tiny_patch16_224")
    net = TunedViT(backbone, 3, method="vpt", readout=2, num_tokens=5, layers=layers).eval()
    seen = []
    for block in net.vit.blocks:
        block.register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        features = net.features(torch.randn(2, 3, 64, 64))
    close(features[:, 144:], net.vit.final_norm(seen[2])[:, -16:].mean(1))
    first = torch.nn.functional.layer_norm(seen[1], (48,), eps=1e-6)
    close(features[:, 48:96], first[:, -16:].mean(1))


def test_a_delta_knows_what_its_head_reads(tmp_path):
    torch.manual_seed(0)
    backbone = small("vit_tiny_patch16_224")
    net = TunedViT(backbone, 3, readout=2, views="upright").eval()
    net.save_delta(tmp_path / "delta.safetensors")
    again = TunedViT.from_delta(tmp_path / "delta.safetensors", backbone=backbone).eval()
    assert (again.readout, again.views) == (2, "upright")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        close(again(images), net(images))


def test_another_readout_is_refused(tmp_path):
    torch.manual_seed(0)
    backbone = small("vit_tiny_patch16_224")
    TunedViT(backbone, 3, readout=2).save_delta(tmp_path / "delta.safetensors")
    with pytest.raises(DeltaError, match=r"has a head with readout 2, this network has 'pooled'"):
        TunedViT(backbone, 3).load_delta(tmp_path / "delta.safetensors")


@pytest.mark.parametrize(
    ("readout", "says"),
    [
        (4, "readout is 4 and the backbone has 3 blocks"),
        (0, "readout must be 'pooled' or how many of the last blocks are read, got 0"),
        ("last4", "readout must be 'pooled' or how many of the last blocks are read, got 'last4'"),
        (True, "readout must be 'pooled' or how many of the last blocks are read, got True"),
    ],
)
def test_refused(readout, says):
    with pytest.raises(ValueError, match=says):
        TunedViT(small("vit_tiny_patch16_224"), 3, readout=readout)


def test_answers_are_the_mean_over_views_in_evaluation_only():
    from monai_ept.data.views import test_views

    torch.manual_seed(0)
    net = TunedViT(small("vit_tiny_patch16_224"), 3, views="turned", readout=2)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        alone = net.train()(images)
        together = net.eval()(images)
        close(alone, net.head(net.features(images)))
        close(together, torch.stack([net.head(net.features(view(images))) for view in test_views("turned")]).mean(0))
    assert not torch.allclose(alone, together, atol=1e-4)


def test_traced_and_exported():
    torch.manual_seed(0)
    net = TunedViT(small("vit_tiny_patch16_224"), 3, views="upright", readout=2).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = net(images)
        close(torch.jit.trace(net, images, check_trace=False)(images), expected)
        close(torch.export.export(net, (images,)).module()(images), expected)
        close(net.fold()(images), expected)
