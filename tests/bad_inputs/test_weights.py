# SPDX-License-Identifier: Apache-2.0

"""Files that are to hold the weights of a backbone and do not, and names of backbones that there are none of."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from monai_ept.networks import create_backbone
from monai_ept.networks.embedded_weights import WEIGHTS
from tests.bad_inputs.case import BadInput, parameters, refuse

EMBEDDED = load_file(WEIGHTS["embedded"])
FIT = ["does not fit backbone 'embedded'"]


def weights(name, file, make, says, backbone="embedded"):
    """A file that a backbone is to take its weights from; the sentence must name it."""
    return BadInput(
        name,
        [file, *says],
        make=lambda folder: make(folder / file),
        call=lambda folder: create_backbone(backbone, pretrained=folder / file),
    )


def saved(name, change, says, backbone="embedded"):
    """The embedded backbone's own weights with a change; once in each format."""

    def changed():
        state = {key: value.clone() for key, value in EMBEDDED.items()}
        return change(state) or state

    return [
        weights(f"{name}-safetensors", "w.safetensors", lambda path: save_file(changed(), path), says, backbone),
        weights(f"{name}-pth", "w.pth", lambda path: torch.save(changed(), path), says, backbone),
    ]


def written(content):
    return lambda path: path.write_bytes(content)


def cut(path):
    save_file(EMBEDDED, path)
    os.truncate(path, path.stat().st_size // 2)


def cut_pth(path):
    torch.save(EMBEDDED, path)
    os.truncate(path, path.stat().st_size // 2)


def long_header(path):
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


def wrong_offsets(path):
    header = json.dumps({"cls_token": {"dtype": "F32", "shape": [1, 1, 256], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)


class Runs:
    def __reduce__(self):
        return os.mkdir, ("it_ran",)


def without(*names):
    def change(state):
        for name in names:
            del state[name]

    return change


def with_more(**more):
    return lambda state: {**state, **{key.replace("__", "."): value for key, value in more.items()}}


def each(rename):
    return lambda state: {rename(key): value for key, value in state.items()}


def put(name, value):
    def change(state):
        state[name] = value(state[name])

    return change


def with_one(value):
    def change(tensor):
        tensor = tensor.float().contiguous()
        tensor.view(-1)[0] = value
        return tensor

    return change


def network(name, **settings):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0, **settings).state_dict()


SMALL = {"embed_dim": 256, "depth": 4, "num_heads": 4}
LAYER_SCALE = {f"blocks__{block}__ls{one}__gamma": torch.ones(256) for block in range(4) for one in (1, 2)}


def adapter(path):
    from monai_ept import TunedViT

    TunedViT("embedded", 3).save_delta(path)


def checkpoint(path):
    torch.save({"format": "monai_ept.checkpoint", "delta": {"head.fc.weight": torch.ones(2)}, "epoch": 3}, path)


def torch_file(name, content, says):
    """What ``torch.save`` writes of something; ``content`` is made when the test runs."""
    return weights(name, "w.pth", lambda path: torch.save(content(), path), says)


def named(name, backbone, says, **settings):
    """A backbone by a name that there is none of, or with settings that it cannot have."""
    return BadInput(name, says, call=lambda folder: create_backbone(backbone, **settings))


CASES = [
    # files that are no weights
    named("nowhere", "embedded", ["nothing.pth does not exist"], pretrained="nothing.pth"),
    weights("a-folder", "w.safetensors", Path.mkdir, ["is a folder", ".safetensors or .pth"]),
    weights("empty-safetensors", "w.safetensors", written(b""), ["cannot be read as weights", "no content"]),
    weights("empty-pth", "w.pth", written(b""), ["cannot be read as weights", "no content"]),
    weights("text-safetensors", "w.safetensors", written(b"<html>404</html>"), ["cannot be read as weights"]),
    weights("text-pth", "w.pth", written(b"<html>404</html>"), ["cannot be read as weights"]),
    weights("git-lfs-pointer", "w.pth", written(b"version https://git-lfs.github.com/spec/v1\n"), ["cannot be read"]),
    weights("cut-safetensors", "w.safetensors", cut, ["cannot be read as weights"]),
    weights("cut-pth", "w.pth", cut_pth, ["cannot be read as weights"]),
    weights("long-header", "w.safetensors", long_header, ["cannot be read as weights"]),
    weights("wrong-offsets", "w.safetensors", wrong_offsets, ["cannot be read as weights"]),
    torch_file("code", lambda: {"cls_token": Runs()}, ["weights_only=True"]),
    weights(
        "another-format", "w.pth", lambda path: shutil.copy(WEIGHTS["embedded"], path), ["cannot be read as weights"]
    ),
    torch_file("no-tensors", lambda: {}, ["holds no weights", "state_dict"]),
    weights("no-tensors-safetensors", "w.safetensors", lambda path: save_file({}, path), ["holds no weights"]),
    torch_file("numbers-alone", lambda: {"epoch": 3, "loss": 0.5}, ["only 'epoch', 'loss'"]),
    torch_file("empty-state_dict", lambda: {"state_dict": {}}, ["holds no weights"]),
    torch_file("a-list", lambda: [torch.ones(2)], ["cannot be read as weights"]),
    torch_file("a-tensor", lambda: torch.ones(2), ["cannot be read as weights"]),
    weights("an-adapter", "w.safetensors", adapter, [*FIT, "looks like an adapter", "load_delta"]),
    weights("a-checkpoint-of-ours", "w.pth", checkpoint, ["holds no weights", "'delta'"]),
    # weights of something else
    torch_file("a-linear-layer", lambda: torch.nn.Linear(2, 2).state_dict(), [*FIT, "another kind of network"]),
    torch_file("a-resnet", lambda: network("resnet10t"), [*FIT, "another kind of network"]),
    torch_file(
        "wider", lambda: network("vit_tiny_patch16_224", depth=4, embed_dim=384), [*FIT, "width 384 instead of 256"]
    ),
    torch_file(
        "deeper",
        lambda: network("vit_tiny_patch16_224", **{**SMALL, "depth": 6}),
        [*FIT, "24 weights", "blocks 6 instead of 4"],
    ),
    torch_file(
        "shallower",
        lambda: network("vit_tiny_patch16_224", **{**SMALL, "depth": 2}),
        [*FIT, "it lacks 24 weights", "blocks 2 instead of 4"],
    ),
    torch_file(
        "registers",
        lambda: network("vit_tiny_patch16_224", reg_tokens=4, **SMALL),
        [*FIT, "'reg_token'", "name the timm model"],
    ),
    torch_file(
        "q-norm",
        lambda: network("vit_tiny_patch16_224", qk_norm=True, **SMALL),
        [*FIT, "'blocks.0.attn.q_norm.weight'", "and 13 more"],
    ),
    torch_file(
        "mean-pooling",
        lambda: network("vit_tiny_patch16_224", global_pool="avg", **SMALL),
        [*FIT, "'norm.weight', 'norm.bias'", "'fc_norm.weight'"],
    ),
    torch_file("distilled", lambda: network("deit_tiny_distilled_patch16_224", **SMALL), [*FIT, "'dist_token'"]),
    # weights with a change
    *saved("missing", without("blocks.3.attn.qkv.weight"), [*FIT, "it lacks 1 weight ('blocks.3.attn.qkv.weight')"]),
    *saved(
        "missing-four",
        without(*(f"blocks.{block}.norm1.bias" for block in range(4))),
        [*FIT, "it lacks 4 weights", "and 1 more"],
    ),
    *saved(
        "unexpected",
        with_more(blocks__0__extra=torch.ones(2)),
        [*FIT, "1 weight ('blocks.0.extra') that the backbone lacks"],
    ),
    *saved("layer-scale", with_more(**LAYER_SCALE), [*FIT, "8 weights", "'blocks.0.ls1.gamma'", "and 5 more"]),
    *saved(
        "two-backbones",
        lambda state: {f"{net}.{key}": value.clone() for net in ("image", "other") for key, value in state.items()},
        ["holds 2 backbones", "'image.', 'other.'", "one alone"],
    ),
    *saved(
        "half-a-prefix",
        each(lambda key: f"net.{key}" if key.startswith("patch") else key),
        [*FIT, "it lacks 52 weights"],
    ),
    *saved(
        "misshapen",
        put("norm.weight", lambda value: value[:8].clone()),
        [*FIT, "1 weight ('norm.weight')", "(8,) instead of (256,)"],
    ),
    *saved(
        "whole-numbers",
        put("norm.weight", lambda value: torch.ones(256, dtype=torch.int64)),
        ["'norm.weight'", "int64", "floating point"],
    ),
    *saved(
        "quantised",
        lambda state: {key: (value.float() * 100).to(torch.int8) for key, value in state.items()},
        ["int8", "floating point"],
    ),
    *saved("nan", put("norm.weight", with_one(float("nan"))), ["NaN or infinite", "'norm.weight'"]),
    *saved(
        "infinite",
        put("blocks.1.mlp.fc1.weight", with_one(float("inf"))),
        ["NaN or infinite", "'blocks.1.mlp.fc1.weight'"],
    ),
    *saved("flat-positions", put("pos_embed", lambda value: value[0, :8].clone()), [*FIT]),
    *saved(
        "complex", put("norm.weight", lambda value: value.float().to(torch.complex64)), ["'norm.weight'", "complex64"]
    ),
    # names
    named("misspelled", "vit_tiny_patch16_24", ["'vit_tiny_patch16_24'", "did you mean vit_tiny_patch16_224"]),
    named("misspelled-embedded", "embeded", ["'embeded'", "did you mean embedded"]),
    named("no-name", "", ["''", "not a timm model"]),
    named("a-path-as-name", "w.safetensors", ["'w.safetensors'", "not a timm model"]),
    named("no-text", None, ["None", "not a timm model"]),
    named("no-such-tag", "vit_tiny_patch16_224.mine", ["'vit_tiny_patch16_224.mine'", "tag", "augreg"]),
    named("random-with-weights", "embedded_random", ["'embedded_random' takes no weights"], pretrained=True),
    named("img_size", "vit_tiny_patch16_224", ["img_size 224000", "patches", "65,536"], img_size=224000),
    named("img_size-text", "embedded", ["img_size", "'large'"], img_size="large"),
    *(
        named(f"settings-{name}", "vit_tiny_patch16_224", ["backbone_settings", *says], backbone_settings=settings)
        for name, settings, says in [
            ("list", [1], ["names with values"]),
            ("head", {"num_classes": 3}, ["num_classes of the network"]),
            ("code", {"block_fn": "Block"}, ["it is code"]),
            ("text", {"init_values": "small"}, ["timm cannot build", "'small'"]),
            ("odd", {"embed_dim": 65}, ["timm cannot build", "divisible by num_heads"]),
            ("nan", {"init_values": float("nan")}, ["init_values", "nan"]),
            ("nested", {"reg_tokens": {"a": 1}}, ["reg_tokens", "a few numbers"]),
            ("deep", {"depth": 60000}, ["depth", "at most 1024"]),
            ("mlp", {"mlp_layer": "swiglu"}, ["mlp_layer", "'SwiGLUPacked'"]),
            ("pool", {"global_pool": ""}, ["global_pool", "token, avg or map"]),
            ("mean", {"mean": [0.5, 0.5]}, ["mean must be three numbers"]),
            ("std", {"std": [0.5, 0.0, 0.5]}, ["std must be three numbers"]),
            ("interpolation", {"interpolation": "cubic"}, ["interpolation", "did you mean 'bicubic'"]),
        ]
    ),
    named("settings", "vit_tiny_patch16_224", ["'init_value'", "'init_values'"], backbone_settings={"init_value": 1}),
    named(
        "settings-huge",
        "vit_tiny_patch16_224",
        ["more than 17,179,869,184 numbers"],
        backbone_settings={"embed_dim": 60000, "num_heads": 1, "depth": 12},
    ),
    named("settings-size", "vit_tiny_patch16_224", ["img_size 50", "48 or 64"], backbone_settings={"img_size": 50}),
    named("settings-embedded", "embedded", ["takes no backbone_settings"], backbone_settings={"depth": 2}),
    named("in_channels", "embedded", ["in_channels", "1024"], in_channels=10**9),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)


def test_heads_stay_behind(tmp_path):
    """A checkpoint with a classification head is the usual one, and what pretraining alone has used does no harm."""
    more = {"head.weight": torch.ones(7, 256), "head.bias": torch.ones(7), "fc.weight": torch.ones(2), "epoch": 3}
    torch.save({**EMBEDDED, **more, "decoder_blocks.0.norm.weight": torch.ones(4)}, tmp_path / "w.pth")
    found = create_backbone("embedded", pretrained=tmp_path / "w.pth").state_dict()
    assert all(torch.equal(found[key], value.float()) for key, value in EMBEDDED.items())
