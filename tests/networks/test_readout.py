# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io

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
    "registers-no-class-token": ("vit_little_patch16_reg4_gap_256", 1),
    "registers-attention-pooling": ("vit_so150m_patch16_reg4_map_256", 1),
    "two-class-tokens": ("deit_tiny_distilled_patch16_224", 2),
}


def small(name, **settings):
    size = 56 if "14" in name else 64
    return timm.create_model(name, **{"depth": 3, "embed_dim": 48, "num_heads": 3, "img_size": size, **settings})


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


@pytest.mark.parametrize("classification", [True, False])
@pytest.mark.parametrize("size", [(16, 16), (32, 16), (16, 16, 16), (16, 8, 24)], ids=str)
def test_monai(size, classification):
    torch.manual_seed(0)
    backbone = ViT(1, size, (8,) * len(size), 48, 96, 3, 3, classification=classification, spatial_dims=len(size))
    net = TunedViT(backbone, 2, readout=3, in_channels=1, img_size=size, views="turned").eval()
    images = torch.randn(2, 1, *size)
    with torch.no_grad():
        features = net.features(images)
        _, blocks = net.backbone(images)
        assert net(images).isfinite().all()
    assert features.shape == (2, 3 * 48 * (2 if classification else 1))
    last = net.backbone.norm(blocks[-1])
    close(features[:, -48:], last[:, int(classification) :].mean(1))
    if classification:
        close(features[:, -96:-48], last[:, 0])


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


def volume_network(**settings):
    backbone = ViT(1, (16, 8, 24), (8, 8, 8), 48, 96, 2, 3, classification=True)
    return TunedViT(backbone, 3, in_channels=1, img_size=(16, 8, 24), readout=2, **settings).eval()


def image_network(**settings):
    return TunedViT(small("vit_tiny_patch16_224", img_size=(64, 48), depth=2), 3, readout=2, **settings).eval()


@pytest.fixture(scope="module", params=["image", "volume"])
def with_views(request):
    torch.manual_seed(0)
    net = image_network(views="turned") if request.param == "image" else volume_network(views="upright")
    images = torch.randn(5, net.vit.in_channels, *net.vit.img_size)
    with torch.no_grad():
        return net, images, net(images)


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:Converting a tensor to a Python (boolean|number)")
def test_traced(with_views):
    net, images, expected = with_views
    with torch.no_grad():
        close(torch.jit.trace(net, images[:2], check_trace=False)(images), expected)


def test_exported():
    torch.manual_seed(0)
    net = volume_network(views="upright")
    images = torch.randn(5, 1, 16, 8, 24)
    program = torch.export.export(net, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with torch.no_grad():
        close(program.module()(images), net(images))


@pytest.mark.parametrize("backbone", sorted(TIMM))
def test_folded_and_counted(backbone):
    torch.manual_seed(0)
    net = TunedViT(small(TIMM[backbone][0]), 3, readout=2, views="upright", prompt_length=5).eval()
    folded = net.fold()
    images = torch.randn(2, 3, *net.vit.img_size)
    with torch.no_grad():
        close(folded(images), net(images))
    assert (folded.readout, folded.views) == (2, "upright")
    assert net.count().head == 3 * 2 * TIMM[backbone][1] * 48 + 3
    assert folded.count().head == net.count().head


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:You are using the legacy TorchScript")
def test_the_old_onnx_exporter(with_views):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    net, images, expected = with_views
    file = io.BytesIO()
    axes = {"image": {0: "batch"}}
    torch.onnx.export(net, (images[:2],), file, dynamo=False, input_names=["image"], dynamic_axes=axes)
    (answer,) = onnxruntime.InferenceSession(file.getvalue()).run(None, {"image": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_new_onnx_exporter(with_views, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    pytest.importorskip("onnxscript", reason="needs the onnx extra")
    net, images, expected = with_views
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(net, (images[:2],), dynamo=True, verbose=False, dynamic_shapes=shapes).save(str(tmp_path / "net"))
    session = onnxruntime.InferenceSession(str(tmp_path / "net"))
    (answer,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), expected, rtol=1e-5, atol=1e-5)
