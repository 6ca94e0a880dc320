# SPDX-License-Identifier: Apache-2.0

"""What trainings of others put around and beside a backbone's weights; ``test_foreign_configs`` has their names."""

from __future__ import annotations

import logging

import pytest
import timm
import torch
from timm.layers import SwiGLUPacked

from monai_ept.networks import create_backbone
from tests.networks.other_models import drawn

NAME = "vit_tiny_patch16_224"
SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 32}
X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def small(**more):
    return drawn(timm.create_model(NAME, num_classes=0, **SMALL, **more))


def load(path, **more):
    return create_backbone(NAME, pretrained=path, backbone_settings={**SMALL, **more}).eval()


def named(prefix, model):
    return {prefix + key: value for key, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "prefix", ["module.", "backbone.", "model.", "encoder.", "net.vit.", "visual.trunk.", "module.visual.trunk."]
)
def test_what_stands_before_all_names_is_left_out(tmp_path, prefix):
    """Heads and other towers, which have other names, stay behind."""
    model = small()
    beside = {} if prefix == "module." else {"text.layer.weight": torch.ones(2), "loss.center": torch.ones(2)}
    torch.save({**named(prefix, model), **beside}, tmp_path / "w.pth")
    assert torch.equal(load(tmp_path / "w.pth")(X), model(X))


def test_the_teacher_of_a_dino_is_taken_and_that_is_said(tmp_path, caplog):
    """As DINO and iBOT save it: two networks and heads, in mappings of their own."""
    teacher, student = small(), small().requires_grad_(False)
    student.cls_token.add_(1)
    content = {
        "student": {**named("module.backbone.", student), "module.head.mlp.0.weight": torch.ones(2)},
        "teacher": {**named("backbone.", teacher), "head.mlp.0.weight": torch.ones(2)},
        "epoch": 3,
    }
    torch.save(content, tmp_path / "w.pth")
    with caplog.at_level(logging.WARNING):
        found = load(tmp_path / "w.pth")(X)
    assert torch.equal(found, teacher(X)) and "this one is taken: teacher, not student" in caplog.text


def test_the_teacher_of_a_dinov2_in_one_mapping(tmp_path, caplog):
    """As DINOv2's trainer saves it: both under ``model``, with SwiGLU and registers under the names of its code."""
    swiglu = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU, "init_values": 1e-5}
    model = small(**swiglu, reg_tokens=2, no_embed_class=True)
    state = {key.replace("fc1", "w12").replace("fc2", "w3"): value for key, value in model.state_dict().items()}
    state["register_tokens"], state["mask_token"] = state.pop("reg_token"), torch.ones(1, 32)
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 32), state["pos_embed"]], dim=1)
    both = {f"{net}.backbone.{key}": value + (net == "student") for net in ("teacher", "student")
            for key, value in state.items()}  # fmt: skip
    torch.save({"model": both}, tmp_path / "w.pth")
    settings = {"mlp_layer": "SwiGLUPacked", "act_layer": "silu", "init_values": 1e-5}
    found = load(tmp_path / "w.pth", **settings, reg_tokens=2, no_embed_class=True)
    torch.testing.assert_close(found(X), model(X), rtol=0, atol=1e-6)
    assert "'teacher.backbone.', not 'student.backbone.'" in caplog.text


def test_a_masked_autoencoder_leaves_its_decoder_behind(tmp_path):
    """As MAE saves it, RETFound for one."""
    model = small()
    more = {"mask_token": torch.ones(1, 1, 8), "decoder_pos_embed": torch.ones(1, 5, 8),
            "decoder_blocks.0.norm1.weight": torch.ones(8), "decoder_embed.weight": torch.ones(8, 32)}  # fmt: skip
    torch.save({"model": {**model.state_dict(), **more}, "epoch": 3}, tmp_path / "w.pth")
    assert torch.equal(load(tmp_path / "w.pth")(X), model(X))
