# SPDX-License-Identifier: Apache-2.0

"""Each architecture against the project that it comes from: features equal to 1e-5."""

from __future__ import annotations

import json

import pytest
import timm
import torch

from monai_ept import TunedViT
from monai_ept.networks import create_backbone
from tests.networks.other_models import (
    SMALL,
    WIDE,
    ClipTower,
    drawn,
    save_for_open_clip,
    save_for_timm,
    save_for_transformers,
)  # fmt: skip

transformers = pytest.importorskip("transformers", reason="it comes with peft, which the extra of tests has")
X = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}


def hf(name, **config):
    return drawn(getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config)))


def clip():
    tokens = {"bos_token_id": 1, "eos_token_id": 2}
    return hf("CLIP", vision_config=WIDE, text_config={**TEXT, **tokens})


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: hf("Dinov2", **SMALL), id="dinov2"),
        pytest.param(lambda: hf("Dinov2", **SMALL, use_swiglu_ffn=True), id="dinov2-swiglu"),
        pytest.param(lambda: hf("Dinov2WithRegisters", **SMALL), id="dinov2-registers"),
        pytest.param(lambda: hf("ViT", **WIDE), id="vit"),
        pytest.param(lambda: hf("ViT", **WIDE, qkv_bias=False), id="vit-without-biases"),
        pytest.param(lambda: hf("IJepa", **WIDE), id="ijepa"),
        pytest.param(lambda: hf("DINOv3ViT", **WIDE, num_register_tokens=4), id="dinov3"),
        pytest.param(lambda: hf("DINOv3ViT", **WIDE, use_gated_mlp=True, hidden_act="silu"), id="dinov3-gated"),
        pytest.param(lambda: hf("SiglipVision", **WIDE), id="siglip"),
        pytest.param(lambda: hf("CLIPVision", **WIDE), id="clip-vision"),
        pytest.param(clip, id="clip"),
    ],
)
def test_models_of_transformers(model, tmp_path):
    theirs = model()
    ours = create_backbone(f"local-dir:{save_for_transformers(theirs, tmp_path)}", pretrained=True).eval()
    with torch.no_grad():
        said = getattr(theirs, "vision_model", theirs)(pixel_values=X)
        if "clip" in type(theirs).__name__.lower():  # whose tokens have not passed the last norm
            torch.testing.assert_close(ours(X), said.pooler_output, rtol=0, atol=1e-5)
        else:
            torch.testing.assert_close(ours.forward_features(X), said.last_hidden_state, rtol=0, atol=1e-5)
        if "Siglip" in type(theirs).__name__:
            torch.testing.assert_close(ours(X), said.pooler_output, rtol=0, atol=1e-5)


def test_the_encoder_of_a_masked_autoencoder(tmp_path):
    """Its own forward hides three quarters of the image; unmasked it is a ViT, whose class takes its weights."""
    mae = transformers.ViTMAEForPreTraining(
        transformers.ViTMAEConfig(**WIDE, decoder_hidden_size=16, decoder_num_hidden_layers=1,
                                  decoder_num_attention_heads=1, decoder_intermediate_size=16)
    )  # fmt: skip
    positions = mae.vit.embeddings.position_embeddings.detach().clone()
    drawn(mae).vit.embeddings.position_embeddings.data.copy_(positions)  # of sines, and not trained
    ours = create_backbone(f"local-dir:{save_for_transformers(mae, tmp_path)}", pretrained=True).eval()
    theirs = transformers.ViTModel(transformers.ViTConfig(**WIDE), add_pooling_layer=False)
    theirs.load_state_dict(mae.vit.state_dict())
    with torch.no_grad():
        found = theirs.eval()(pixel_values=X).last_hidden_state
        torch.testing.assert_close(ours.forward_features(X), found, rtol=0, atol=1e-5)


def test_what_the_image_processor_says(tmp_path):
    processor = {
        "image_mean": [0.5307] * 3, "image_std": [0.2583] * 3, "resample": 2, "do_center_crop": True,
        "crop_size": {"height": 42, "width": 42}, "size": {"shortest_edge": 50},
    }  # fmt: skip
    folder = save_for_transformers(hf("Dinov2", **SMALL), tmp_path, **processor)
    vit = TunedViT(f"local-dir:{folder}", 2, pretrained=True).vit
    assert (vit.mean, vit.std, vit.interpolation) == ((0.5307,) * 3, (0.2583,) * 3, "bilinear")
    assert vit.img_size == (42, 42)  # positions are resized from 28
    vit = TunedViT(f"local-dir:{folder}", 2, pretrained=True, img_size=56, backbone_settings={"mean": 0.1}).vit
    assert vit.img_size == (56, 56) and vit.mean == (0.1,) * 3


def test_settings_that_timm_wrote_down_are_taken(tmp_path):
    """A timm model of the hub brings architecture arguments, and how its images were prepared."""
    args = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1e-5, "reg_tokens": 2}
    theirs = drawn(timm.create_model("vit_tiny_patch16_224", num_classes=0, **args))
    theirs.pretrained_cfg = {**theirs.pretrained_cfg, "mean": (0.7, 0.6, 0.7), "std": (0.2, 0.2, 0.2)}
    name = f"local-dir:{save_for_timm(theirs, tmp_path, **args)}"
    net = TunedViT(name, 2, method="linear", pretrained=True).eval()
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.features(x), theirs(x))
    assert net.vit.mean == (0.7, 0.6, 0.7) and net.vit.num_prefix_tokens == 3
    other = create_backbone(name, backbone_settings={"init_values": 0.5, "depth": 1})
    assert len(other.blocks) == 1 and other.blocks[0].ls1.gamma[0] == 0.5


def test_a_delta_of_such_a_model_needs_no_repository(tmp_path):
    """Its metadata have the architecture, so that the weights in any file are enough; of another machine, for one."""
    folder = tmp_path / "model"
    save_for_transformers(hf("Dinov2", **SMALL), folder, image_mean=[0.1] * 3, image_std=[0.2] * 3)
    net = TunedViT(f"local-dir:{folder}", 2, pretrained=True).eval()
    net.save_delta(tmp_path / "d.safetensors")
    again = TunedViT.from_delta(tmp_path / "d.safetensors", pretrained=True).eval()
    (folder / "model.safetensors").rename(tmp_path / "weights.safetensors")
    (folder / "config.json").unlink()
    moved = TunedViT.from_delta(tmp_path / "d.safetensors", pretrained=tmp_path / "weights.safetensors").eval()
    assert torch.equal(moved(X), net(X)) and torch.equal(again(X), net(X))
    assert moved.vit.mean == (0.1,) * 3 and moved.backbone_name == f"local-dir:{folder}"
    moved.save_delta(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()


def test_the_image_tower_of_a_clip_of_timm(tmp_path):
    """BiomedCLIP's: a timm model in open_clip's file, beside a text tower of BERT."""
    tower = drawn(timm.create_model("vit_tiny_patch16_224", num_classes=0))
    vision = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "timm_proj": "linear", "image_size": 224}
    save_for_open_clip(tower, tmp_path, vision, prefix="visual.trunk.")
    ours = create_backbone(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(1, 3, 224, 224)
    assert torch.equal(ours(x), tower(x)) and ours.pretrained_cfg["mean"] == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("quick", [False, True])
def test_the_image_tower_of_a_clip(tmp_path, quick):
    tower = drawn(ClipTower(quick=quick, mlp=3.0))
    vision = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32, "mlp_ratio": 3.0}
    save_for_open_clip(tower, tmp_path, vision, **({"quick_gelu": True} if quick else {}))
    ours = create_backbone(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), tower(x), rtol=0, atol=1e-5)


def test_open_clip_itself(tmp_path):
    open_clip = pytest.importorskip("open_clip", reason="no extra has it: the towers above have its names")
    vision = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32, "ls_init_value": 0.1}
    text = {"context_length": 8, "vocab_size": 9, "width": 8, "heads": 1, "layers": 1}
    theirs = drawn(open_clip.model.CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text))
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"vision_cfg": vision}}))
    torch.save(theirs.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    ours = create_backbone(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x) @ theirs.visual.proj, theirs.encode_image(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", {"model_type": "swin"}, "is a 'swin' of transformers, and timm has no architecture"),
        ("config.json", {"model_type": "vit", "hidden_act": "relu"}, "has activation 'relu'"),
        ("config.json", {"model_type": "vit", "hidden_size": "big"}, "hidden_size of .* whole number"),
        ("config.json", {"model_type": "dinov3_vit", "key_bias": True}, "biases as timm has none"),
        ("config.json", {"license": "mit"}, "no configuration of timm, transformers or open_clip"),
        ("config.json", {"architecture": "vit_of_tomorrow"}, "'vit_of_tomorrow' is not a timm model"),
        ("config.json", {"architecture": "vit_tiny_patch16_224", "model_args": {"new": 1}}, "takes no setting 'new'"),
        ("open_clip_config.json", {"model_cfg": {}}, "has no vision_cfg"),
        ("open_clip_config.json", {"vision_cfg": {"attentional_pool": True}}, "with attentional_pool, which timm's"),
    ],
)
def test_what_is_no_architecture_of_timm(tmp_path, file, content, says):
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=says):
        create_backbone(f"local-dir:{tmp_path}")
