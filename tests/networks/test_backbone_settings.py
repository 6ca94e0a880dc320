# SPDX-License-Identifier: Apache-2.0

"""Settings that cannot be are in ``tests/bad_inputs/test_weights.py``."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import SwiGLUPacked

from monai_ept import EPTWrapper, TunedViT
from monai_ept.delta import read_delta
from monai_ept.networks import create_backbone, monai_vit_from_timm
from monai_ept.networks.backbone_settings import check_backbone_settings
from monai_ept.runs.build_network import backbone_recipe, make_network
from monai_ept.tracking.pyfunc_model import load_model_files, save_model_files

NAME = "vit_tiny_patch16_224"
SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 32}
# As the large models of pathology are built: all of it can change what attention and blocks see.
LIKE_UNI2 = {
    **SMALL, "init_values": 1e-5, "reg_tokens": 4, "no_embed_class": True, "mlp_layer": "SwiGLUPacked",
    "act_layer": "silu", "mlp_ratio": 5.3125, "dynamic_img_size": True,
}  # fmt: skip


@pytest.fixture
def like_uni2(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(
        NAME, num_classes=0, **{**LIKE_UNI2, "mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}
    ).eval()
    for block in model.blocks:  # a LayerScale of 1e-5 hides whatever is wrong behind it
        block.ls1.gamma.data.fill_(0.7)
        block.ls2.gamma.data.fill_(0.9)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    return model, tmp_path / "w.pth"


def test_plain_values_build_what_timm_builds_from_classes(like_uni2):
    model, path = like_uni2
    ours = create_backbone(NAME, pretrained=path, backbone_settings=LIKE_UNI2).eval()
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(x), model(x))


@pytest.mark.parametrize("method", ["ept", "damp", "lora", "vpt", "vp"])
def test_methods_see_the_tokens_that_timm_sees(like_uni2, method):
    """What a method adds is switched off or starts at nothing, and so the features are timm's."""
    model, path = like_uni2
    net = TunedViT(NAME, 3, method=method, pretrained=path, backbone_settings=LIKE_UNI2).eval()
    assert net.vit.num_prefix_tokens == 5 and net.vit.grid_size == (2, 2)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad(), net.disabled():
        torch.testing.assert_close(net.features(x), model(x), rtol=0, atol=1e-6)
    if method == "lora":
        torch.testing.assert_close(net.features(x), model(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"qk_norm": True}, {"global_pool": "avg"}, {"scale_attn_norm": True}])
def test_a_prompt_in_open_attention_of_other_settings(settings):
    """A prompt whose weight in the softmax begins at e⁻⁶⁰ takes no attention from the tokens."""
    torch.manual_seed(0)
    net = EPTWrapper(NAME, 2, backbone_settings={**SMALL, **settings}, start=-60.0)
    net.begin()
    net.eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        on = net.features(x)
        with net.disabled():
            off = net.features(x)
    torch.testing.assert_close(on, off, rtol=0, atol=1e-5)


def test_what_images_are_normalised_by(tmp_path):
    """Given once for all colours, or for each; a network for grey images takes the average, as ever."""
    settings = {**SMALL, "mean": [0.1, 0.2, 0.3], "std": 0.5, "interpolation": "bilinear"}
    vit = TunedViT(NAME, 2, backbone_settings=settings).vit
    assert (vit.mean, vit.std, vit.interpolation) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), "bilinear")
    grey = TunedViT(NAME, 2, backbone_settings=settings, in_channels=1).vit
    assert grey.mean == pytest.approx((0.2,))


def test_numbers_that_yaml_takes_for_texts():
    assert check_backbone_settings("s", {"init_values": "1e-5", "reg_tokens": "4"}) == {
        "init_values": 1e-5, "reg_tokens": 4,
    }  # fmt: skip
    assert check_backbone_settings("s", None) == {} == check_backbone_settings("s", {"init_values": None})


def test_a_delta_alone_tells_how_its_backbone_is_built(like_uni2, tmp_path):
    _, path = like_uni2
    net = TunedViT(NAME, 3, method="lora", pretrained=path, backbone_settings=LIKE_UNI2).eval()
    net.save_delta(tmp_path / "d.safetensors")
    again = TunedViT.from_delta(tmp_path / "d.safetensors", pretrained=path).eval()
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(x), net(x))
    assert read_delta(tmp_path / "d.safetensors").metadata["backbone"]["settings"] == {
        key: value for key, value in LIKE_UNI2.items() if key != "img_size"
    }


def test_a_delta_without_settings_does_not_speak_of_them(tmp_path):
    TunedViT("embedded", 3).save_delta(tmp_path / "d.safetensors")
    assert set(read_delta(tmp_path / "d.safetensors").metadata["backbone"]) == {"name", "by_name", "fingerprint"}


def test_a_registered_model_is_built_with_its_settings(like_uni2, tmp_path):
    _, path = like_uni2
    net = TunedViT(NAME, 3, pretrained=path, backbone_settings=LIKE_UNI2).eval()
    folder = tmp_path / "model"
    folder.mkdir()
    save_model_files(net, folder, "multiclass")
    found, _ = load_model_files(folder)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found(x), net(x), rtol=0, atol=1e-5)


def test_a_volume_network_from_a_model_with_settings(tmp_path):
    """LayerScale goes into MONAI's weights, and the recipe of a registered model says how it came."""
    settings = {**SMALL, "init_values": 0.5}
    net = make_network(
        ["a", "b"], backbone=NAME, backbone_settings=settings, spatial_dims=3, img_size=32, patch_size=16, in_channels=1
    )
    recipe = backbone_recipe(net, {"backbone": NAME})
    assert recipe["backbone_settings"] == {"depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 0.5}
    again = monai_vit_from_timm(**{key: value for key, value in recipe.items() if key != "_target_"})
    assert again.state_dict().keys() >= {"blocks.1.attn.qkv.weight"} and len(again.blocks) == 2
