# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import shlex

import pytest
import timm
import torch
import yaml
from fire.parser import DefaultParseValue
from huggingface_hub import constants

from monai_ept import TunedViT
from monai_ept.__main__ import main
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.networks.backbone_settings import check_backbone_settings
from monai_ept.networks.foundation_models import FOUNDATION_MODELS
from tests.benchmark.plan.scenes import make
from tests.networks.other_models import drawn, into_hub_cache, save_for_timm


def printed(capsys, *arguments):
    assert main(["backbones", *arguments]) == 0
    return capsys.readouterr().out


def lines(text, what):
    """What stands below a comment, once for the hub and once for files."""
    return re.findall(rf"# {what}\n  (.*)\n", text + "\n")


def test_the_table_names_each_model_and_fits_a_screen(capsys):
    out = printed(capsys)
    assert all(re.search(rf"^{row.name} .* {row.size} +{row.parameters}$", out, re.M) for row in FOUNDATION_MODELS)
    assert max(map(len, out.splitlines())) <= 140


@pytest.mark.slow
def test_the_lines_of_python_load_the_model(capsys, tmp_path, monkeypatch):
    """As they stand there, with random weights in the place of Lunit's."""
    theirs = drawn(timm.create_model("vit_small_patch16_224", num_classes=0))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lunit-dino"
    folder.mkdir()
    save_for_timm(theirs, folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    into_hub_cache(folder, tmp_path / "hub", "1aurent/vit_small_patch16_224.lunit_dino")
    found = lines(printed(capsys, "lunit-dino"), "Python")
    assert len(found) == 2
    x = torch.randn(1, 3, 224, 224)
    for line in found:
        scope = {"TunedViT": TunedViT}
        exec(line, scope)
        with torch.no_grad(), scope["net"].eval().disabled():
            torch.testing.assert_close(scope["net"].features(x), theirs(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("row", FOUNDATION_MODELS, ids=lambda row: row.name)
def test_python_bundles_and_sweeps_are_told_the_same(capsys, row):
    text = printed(capsys, row.name)
    path = f"{row.name}/pytorch_model.bin" if row.format == "timm" else row.name
    ways = (row.on_the_hub, row.from_files(path))
    printed_lines = (lines(text, what) for what in ("the command line", "Python", "a bundle", "a sweep"))
    for given, command, python, bundle, sweep in zip(ways, *printed_lines, strict=True):
        assert shlex.split(command)[:3] == ["monai-ept", "train", "IMAGES"]
        options = [part.removeprefix("--").replace("-", "_") for part in shlex.split(command)[3::2]]
        told = dict(zip(options, map(yaml.safe_load, shlex.split(command)[4::2]), strict=True))
        assert told == {key: value for key, value in given.items() if value}
        scope = {"TunedViT": lambda backbone, num_classes, **more: {"backbone": backbone, **more}}
        exec(python, scope)
        assert scope["net"] == given
        words = shlex.split(bundle)
        said = {name[2:]: DefaultParseValue(value) for name, value in zip(words[4::2], words[5::2], strict=True)}
        assert said.pop("config_file") == "configs/train.yaml"
        said["pretrained"] = {"true": True}.get(said["pretrained"], said["pretrained"])
        assert {key: str(value) for key, value in said.items()} == {
            key: str(value) for key, value in given.items() if value
        }
        (cell,) = sweep_cells(make(shots=[1], samplings=1, methods=["linear"], **yaml.safe_load(sweep)))
        assert (cell.backbone, cell.pretrained) == (given["backbone"], given["pretrained"])
        assert cell.backbone_settings == check_backbone_settings("given", given.get("backbone_settings"))


def test_an_unknown_model_is_one_line(capsys):
    assert main(["backbones", "uni3"]) == 2
    assert "'uni3' is not known: did you mean 'uni'?" in capsys.readouterr().err
