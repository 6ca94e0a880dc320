# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept import TunedViT
from monai_ept.__main__ import main
from monai_ept.data import few_shot_split, load_source
from monai_ept.delta import read_delta
from tests.noise_files import noise_files


@pytest.fixture
def images(tmp_path):
    return noise_files(tmp_path / "images")


def command(images, out, *more):
    sizes = ["--backbone", "embedded", "--img-size", "32", "--steps", "2", "--batch-size", "4"]
    return main(["adapt", str(images), *sizes, "--out", str(out), *more])


def test_a_folder_of_images_is_enough(images, tmp_path, capsys):
    assert command(images, tmp_path / "it", "--method", "{name: lora, rank: 2}") == 0
    path = tmp_path / "it" / "adapted.safetensors"
    assert f"adapted     {path}" in capsys.readouterr().out
    about = read_delta(path, head=False).metadata
    assert about["methods"][0]["rank"] == 2
    assert about["extra"]["identity"]["images"] == 12
    net = TunedViT("embedded", 7, method="lora", rank=2, img_size=32)
    net.start_from(path)
    assert command(images, tmp_path / "it") == 2
    assert "holds an adaptation already: --overwrite" in capsys.readouterr().err


def test_the_backbone_may_have_settings(images, tmp_path):
    settings = "{depth: 2, embed_dim: 32, num_heads: 2, init_values: 1e-5}"
    named = ["--backbone", "vit_tiny_patch16_224", "--pretrained", "false", "--backbone-settings", settings]
    assert command(images, tmp_path / "it", *named) == 0
    about = read_delta(tmp_path / "it" / "adapted.safetensors", head=False).metadata["backbone"]
    assert about["settings"] == {"depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1e-5}


def test_what_a_split_tests_is_left_out(images, tmp_path, capsys):
    split = few_shot_split(load_source("folder", images), shots=1, test_fraction=0.5)
    split.save(tmp_path / "split.json")
    data = ["--source", "folder", "--split", str(tmp_path / "split.json")]
    assert command(images, tmp_path / "it", *data) == 0
    about = read_delta(tmp_path / "it" / "adapted.safetensors", head=False).metadata
    assert about["extra"]["identity"]["images"] == 12 - len(split.test)
    assert command(images, tmp_path / "other", "--split", str(tmp_path / "split.json")) == 2
    assert "--option and --split go with a data set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--method", "linear"], "method linear trains nothing but the head"),
        (["--views", "round"], "views 'round' is not known"),
        (["--batch-size", "1"], "batch_size must be a whole number of at least 2, got 1"),
        (["--method", "lnn"], "method 'lnn' is not registered: did you mean 'ln'?"),
    ],
)
def test_wrong_arguments_are_one_line(images, tmp_path, capsys, more, says):
    assert command(images, tmp_path / "it", *more) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "it").exists()


def test_no_images(tmp_path, capsys):
    assert command(tmp_path / "nowhere", tmp_path / "it") == 2
    assert "there is no file or folder" in capsys.readouterr().err
