# SPDX-License-Identifier: Apache-2.0

"""Adapter files that are damaged, made up, or another network's; some ask for more than any machine has."""

from __future__ import annotations

import copy
import functools
import json
import os
import struct
from pathlib import Path

import peft
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from monai_ept import FitResult, TunedViT
from monai_ept.delta import FORMAT, read_delta
from monai_ept.methods import peft_limits
from tests.bad_inputs.case import BadInput, parameters, refuse

NAMES = ["benign", "malignant", "unsure"]
PATTERN = r"(((\w|\.)+)+)+!"
"""Takes about 2 to the power of a name's letters."""


def network(method="ept", **settings):
    torch.manual_seed(0)
    given = {"prompt_length": 2} if method == "ept" else {}
    return TunedViT("embedded", 3, method=method, img_size=32, class_names=NAMES, **{**given, **settings})


@functools.cache
def good(method="ept"):
    """Tensors and metadata of a good delta."""
    path = Path(os.environ["PYTEST_DELTAS"]) / f"{method}.safetensors"
    chosen = peft.LoraConfig(target_modules=["qkv"], r=2) if method == "peft" else method
    network(chosen).save_delta(path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, safe_open is no mapping
        return tensors, json.loads(file.metadata()[FORMAT])


@pytest.fixture(autouse=True, scope="module")
def folder_of_deltas(tmp_path_factory):
    os.environ["PYTEST_DELTAS"] = str(tmp_path_factory.mktemp("deltas"))
    yield
    del os.environ["PYTEST_DELTAS"]


def build(folder):
    return TunedViT.from_delta(folder / "d.safetensors")


def load(folder):
    """Into a network that is there already, as a sweep does it and whoever brings a backbone of his own."""
    return network().load_delta(folder / "d.safetensors")


def changed(name, says, change, method="ept", call=build, slow=False):
    """A good delta whose metadata are changed, in place or by what is returned."""

    def make(folder):
        tensors, metadata = copy.deepcopy(good(method))
        metadata = change(metadata) or metadata
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        save_file(tensors, folder / "d.safetensors", {FORMAT: text})

    return BadInput(name, ["d.safetensors", *says], make=make, call=call, slow=slow)


def put(*keys, value):
    def change(metadata):
        for key in keys[:-1]:
            metadata = metadata[key]
        metadata[keys[-1]] = value

    return change


def holds(name, says, change, call=build):
    """A good delta whose tensors are changed."""

    def make(folder):
        tensors, metadata = copy.deepcopy(good())
        tensors = {key: value.contiguous() for key, value in (change(tensors) or tensors).items()}
        save_file(tensors, folder / "d.safetensors", {FORMAT: json.dumps(metadata)})

    return BadInput(name, ["d.safetensors", *says], make=make, call=call)


def file(name, says, content):
    """A file that is no delta at all."""

    def make(folder):
        tensors, metadata = good()
        save_file(tensors, folder / "good", {FORMAT: json.dumps(metadata)})
        whole = (folder / "good").read_bytes()
        (folder / "good").unlink()
        (folder / "d.safetensors").write_bytes(content(whole))

    return BadInput(name, ["d.safetensors", *says], make=make, call=build)


def lacks(key, *says):
    def change(metadata):
        del metadata[key]

    return changed(f"without-{key}", ["damaged metadata", f"{key!r} is missing", *says], change)


def peft_config(name, says, slow=False, **settings):
    """A delta of PEFT whose configuration is changed."""

    def change(metadata):
        metadata["methods"][0]["config"].update(settings)

    return changed(f"peft-{name}", says, change, method="peft", slow=slow)


def training(name, says, **changes):
    """The folder of a training whose record, history, metrics or run are changed; None leaves a key out."""

    def make(folder):
        run = folder / "run"
        (run / "evaluation").mkdir(parents=True)
        tensors, metadata = good()
        save_file(tensors, run / "delta.safetensors", {FORMAT: json.dumps(metadata)})
        (run / "split.json").write_text("{}")
        record = {"format": "monai_ept training 2", "class_names": NAMES, "task": "multiclass", "network": None}
        record.update({"data": None, "transforms": {}, **changes.get("record", {})})
        for key in changes.get("without", ()):
            del record[key]
        (run / "training.json").write_text(changes.get("text") or json.dumps(record))
        for path, content in changes.get("files", {}).items():
            (run / path).write_text(content)

    return BadInput(f"training-{name}", says, make=make, call=lambda folder: FitResult.load(folder / "run"))


DAMAGED = ["has damaged metadata", "copy it again"]
UNREADABLE = ["cannot be read", "copy it again"]
MISFIT = ["does not hold what its metadata speak of"]

CASES = [
    BadInput("nowhere", ["no.safetensors does not exist"], call=lambda folder: TunedViT.from_delta("no.safetensors")),
    BadInput("a-folder", ["does not exist"], call=lambda folder: TunedViT.from_delta(folder)),
    # the file
    file("empty", UNREADABLE, lambda whole: b""),
    file("text", UNREADABLE, lambda whole: b"<html>404 not found</html>"),
    file("header-cut", UNREADABLE, lambda whole: whole[:100]),
    file("end-cut", UNREADABLE, lambda whole: whole[:-1]),
    file("more-at-the-end", UNREADABLE, lambda whole: whole + b"\0"),
    file("long-header", UNREADABLE, lambda whole: struct.pack("<Q", 2**62) + whole[8:]),
    file("header-no-json", UNREADABLE, lambda whole: whole[:8] + b"x" + whole[9:]),
    file("zeros", UNREADABLE, lambda whole: b"\0" * len(whole)),
    file("pickle", UNREADABLE, lambda whole: b"\x80\x04cposix\nsystem\n(S'touch it_ran'\ntR."),
    BadInput(
        "no-delta",
        ["d.safetensors is a safetensors file but not a delta"],
        make=lambda folder: save_file({"a": torch.ones(2)}, folder / "d.safetensors"),
        call=build,
    ),
    # its metadata
    changed("no-json", DAMAGED, lambda metadata: "{"),
    changed("a-list", DAMAGED, lambda metadata: "[]"),
    changed("a-number", DAMAGED, lambda metadata: "5"),
    changed("deep", DAMAGED, lambda metadata: "[" * 100_000 + "]" * 100_000),
    changed(
        "deep-inside", DAMAGED, lambda metadata: '{"version": 1, "methods": ' + "[" * 100_000 + "]" * 100_000 + "}"
    ),
    changed("digits", DAMAGED, lambda metadata: '{"version": ' + "9" * 10_000 + "}"),
    changed("version", ["format version 7", "install the release"], put("version", value=7)),
    changed("version-text", DAMAGED, put("version", value="1")),
    changed("version-null", DAMAGED, put("version", value=None)),
    lacks("methods"),
    lacks("backbone"),
    lacks("num_classes"),
    lacks("in_channels"),
    lacks("img_size"),
    lacks("patch_size"),
    changed("methods-text", [*DAMAGED, "methods"], put("methods", value="ept")),
    changed("methods-numbers", [*DAMAGED, "method"], put("methods", value=[5])),
    changed("method-nameless", [*DAMAGED, "name of a method"], put("methods", 0, "name", value=None)),
    changed("method-unknown", ["cannot be built", "did you mean 'ept'"], put("methods", 0, "name", value="eptt")),
    changed("method-setting", ["cannot be built", "no setting 'length'"], put("methods", 0, "length", value=5)),
    changed("method-value", ["cannot be built", "embed 'x' is not known"], put("methods", 0, "embed", value="x")),
    changed("layers-number", ["cannot be built", "prompt_layers"], put("methods", 0, "prompt_layers", value=3)),
    changed("backbone-text", [*DAMAGED, "backbone"], put("backbone", value="embedded")),
    changed("backbone-nameless", [*DAMAGED, "backbone's name"], put("backbone", "name", value=None)),
    changed("backbone-unmarked", [*DAMAGED, "fingerprint"], put("backbone", "fingerprint", value=5)),
    changed("by_name-text", [*DAMAGED, "by_name"], put("backbone", "by_name", value="yes")),
    changed("backbone-unknown", ["cannot be built", "did you mean embedded"], put("backbone", "name", value="embeded")),
    changed("backbone-no-vit", ["cannot be built"], put("backbone", "name", value="resnet10t")),
    changed("backbone-other", MISFIT, put("backbone", "name", value="vit_tiny_patch16_224")),
    changed("fingerprint-other", ["give it the same pretrained"], put("backbone", "fingerprint", value="0" * 9)),
    changed("backbone-a-module", ["pass backbone="], put("backbone", "by_name", value=False)),
    changed("num_classes-0", [*DAMAGED, "num_classes"], put("num_classes", value=0)),
    changed("num_classes-true", [*DAMAGED, "num_classes"], put("num_classes", value=True)),
    changed("num_classes-other", [*DAMAGED, "class_names must be 4 texts"], put("num_classes", value=4)),
    changed("class_names-text", [*DAMAGED, "class_names"], put("class_names", value="abc")),
    changed("class_names-numbers", [*DAMAGED, "class_names"], put("class_names", value=[1, 2, 3])),
    changed("class_names-twice", ["cannot be built", "different names"], put("class_names", value=["a", "a", "b"])),
    changed("dropout", [*DAMAGED, "dropout"], put("dropout", value=2)),
    changed("temperature", [*DAMAGED, "temperature"], put("temperature", value=-1)),
    changed("temperature-nan", [*DAMAGED, "temperature"], put("temperature", value=float("nan"))),
    changed("extra", [*DAMAGED, "extra"], put("extra", value=[1])),
    changed("img_size-text", [*DAMAGED, "img_size"], put("img_size", value="32")),
    changed("img_size-one", [*DAMAGED, "img_size"], put("img_size", value=[32])),
    changed("img_size-half", [*DAMAGED, "img_size"], put("img_size", value=[32.5, 32])),
    changed("img_size-0", [*DAMAGED, "img_size"], put("img_size", value=[0, 0])),
    changed("img_size-33", ["cannot be built", "32 or 48 would do"], put("img_size", value=[33, 33])),
    changed("patch_size-0", [*DAMAGED, "patch_size"], put("patch_size", value=[0, 16])),
    # more than it holds, or than there is
    changed("img_size-224000", ["cannot be built", "196,000,000 patches"], put("img_size", value=[224000, 224000])),
    changed("img_size-64", [*MISFIT, "prompt"], put("img_size", value=[64, 64])),
    changed("in_channels-1e9", ["cannot be built", "in_channels"], put("in_channels", value=10**9)),
    changed("prompt_length-1e9", ["cannot be built", "prompt_length"], put("methods", 0, "prompt_length", value=10**9)),
    changed("prompt_length-9999", MISFIT, put("methods", 0, "prompt_length", value=9999)),
    changed("shallow", MISFIT, put("methods", 0, "prompt_layers", value="shallow")),
    changed("rank-1e7", ["cannot be built", "rank"], put("methods", 0, "rank", value=10**7), method="lora"),
    changed("rank-256", [*MISFIT, "down"], put("methods", 0, "rank", value=256), method="lora"),
    changed(
        "classes-1e9", ["cannot be built", "num_classes"], lambda m: {**m, "num_classes": 10**9, "class_names": None}
    ),
    # its tensors
    holds(
        "one-missing",
        [*MISFIT, "'head.fc.bias' is not there"],
        lambda t: {k: v for k, v in t.items() if "bias" not in k},
    ),
    holds("one-more", [*MISFIT, "'extra' has shape (2,)"], lambda t: {**t, "extra": torch.ones(2)}),
    holds("misshapen", [*MISFIT, "'head.fc.bias'"], lambda t: {**t, "head.fc.bias": torch.ones(4)}),
    holds("whole-numbers", ["'head.fc.bias'", "torch.int64"], lambda t: {**t, "head.fc.bias": torch.ones(3).long()}),
    holds("all-whole", ["torch.int8"], lambda t: {key: value.to(torch.int8) for key, value in t.items()}),
    holds("complex", ["complex64"], lambda t: {**t, "head.fc.bias": torch.ones(3, dtype=torch.complex64)}),
    holds("nan", ["NaN", "failed training"], lambda t: {**t, "head.fc.bias": torch.full((3,), float("nan"))}),
    holds("whole-numbers-into", ["torch.int64"], lambda t: {**t, "head.fc.bias": torch.ones(3).long()}, call=load),
    holds("misshapen-into", ["another network"], lambda t: {**t, "head.fc.bias": torch.ones(4)}, call=load),
    changed("grid-into", ["is not one for images of 64×64"], put("img_size", value=[64, 64]), call=load),
    changed("huge-grid-into", ["is not one for images"], put("img_size", value=[10**9, 10**9]), call=load),
    # what PEFT is asked for
    peft_config("rank", ["r=10000000", "widest layer"], r=10_000_000),
    peft_config("rank_pattern", ["rank_pattern=10000000", "widest layer"], rank_pattern={"qkv": 10_000_000}),
    peft_config("type", ["peft_type 'LORAA'", "did you mean 'LORA'"], peft_type="LORAA"),
    peft_config("no-type", ["peft_type 'None'", "'LORA'", "more"], peft_type=None),
    peft_config("setting", ["cannot read the settings"], no_such_setting=5),
    peft_config("rank-text", ["PEFT"], r="many"),
    peft_config("targets", ["matches no module", "'qkv'"], target_modules=["to_q"]),
    peft_config("broken-pattern", ["is no pattern", "target_modules"], target_modules="(qkv"),
    peft_config("for-ever", ["within", "seconds", "target_modules", "in a list"], target_modules=PATTERN),
    peft_config("excluded-for-ever", ["exclude_modules", "in a list"], exclude_modules=PATTERN),
    peft_config("ranks-for-ever", ["rank_pattern", "in a list"], rank_pattern={PATTERN: 2}),
    peft_config("layers-for-ever", ["layers_pattern", "in a list"], layers_pattern=[PATTERN], layers_to_transform=[0]),
    # a training's record beside it
    training("no-json", ["training.json does not describe a training"], text="{"),
    training("a-list", ["training.json does not describe a training"], text="[]"),
    training("deep", ["training.json does not describe a training"], text="[" * 100_000),
    training("format", ["its format is 'mine'"], record={"format": "mine"}),
    *(
        training(f"without-{key}", ["training.json", f"its '{key}' is missing", "choose another folder"], without=[key])
        for key in ("class_names", "task", "network", "data", "transforms")
    ),
    training("no-format", ["its format is None"], without=["format"]),
    training("names-text", ["class_names must be a list of texts"], record={"class_names": "abc"}),
    training("task", ["task 'x' is not known"], record={"task": "x"}),
    training("network-text", ["network must be"], record={"network": "embedded"}),
    training("transforms-null", ["transforms must be"], record={"transforms": None}),
    training("history", ["history.json is not the history"], files={"history.json": '{"epoch": 1}'}),
    training("metrics", ["metrics.json is not what"], files={"evaluation/metrics.json": '{"accuracy": 1}'}),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    if "for-ever" in case.name:
        monkeypatch.setattr(peft_limits, "SECONDS", 0.3)
    refuse(case, tmp_path, monkeypatch)


def test_the_good_ones_are_read(tmp_path):
    """What the bad ones are made from."""
    for method in ("ept", "lora", "peft"):
        tensors, metadata = good(method)
        save_file(tensors, tmp_path / "d.safetensors", {FORMAT: json.dumps(metadata)})
        assert build(tmp_path).class_names == NAMES
        assert read_delta(tmp_path / "d.safetensors").metadata == metadata
