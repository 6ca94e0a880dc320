# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from monai_ept.__main__ import main
from monai_ept.data.sources.isic2018 import ISIC2018_CLASSES
from tests.data.conftest import write_image
from tests.drawing import no_pictures


def table(folder: Path) -> list[str]:
    rows = [f"p{n},{'xy'[n % 2]}," for n in range(8)]
    for n in range(8):
        write_image(folder / "own data/img" / f"p{n}.png", n)
    (folder / "own data/labels.csv").write_text("\n".join(["file,dx,patient", *rows]) + "\n")
    return ["own data"]


def table_with_options(folder: Path) -> list[str]:
    options = ["image=file", "image_dir=img", "label=dx", "group=patient", "positive={name: x, prevalence: 0.1}"]
    return [*table(folder), "--source", "csv", *(word for option in options for word in ("--option", option))]


def volumes(folder: Path) -> list[str]:
    images = np.random.RandomState(0).randint(0, 255, (8, 8, 8, 8), dtype=np.uint8)
    for name in ("a", "b"):
        np.savez(folder / f"{name}.npz", train_images=images, train_labels=np.arange(8)[:, None] % 2)
    return ["."]


def isic2018(folder: Path) -> list[str]:
    for n in range(14):
        write_image(folder / "images" / f"{n}.jpg", n)
    rows = [f"{n},{ISIC2018_CLASSES[n // 2]},train," for n in range(14)]
    (folder / "labels.csv").write_text("\n".join(["image,dx,split,lesion_id", *rows]) + "\n")
    return ["."]


@pytest.mark.parametrize(
    ("make", "said", "size"),
    [
        (table, "data      labels, read from own data as source csv", "12 × 16"),
        (table_with_options, "data      labels, read from own data as source csv", "12 × 16"),
        (volumes, "data      a, read from . as source medmnist", "8 × 8 × 8"),
        (isic2018, "data      isic2018, read from . as source isic2018", "12 × 16"),
    ],
)
def test_the_command_that_it_names_trains(make, said, size, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", *make(tmp_path), "--fast"]) == 0
    command = shlex.split(capsys.readouterr().out.partition("\nnext\n")[2])
    assert command[:2] == ["monai-ept", "train"]
    small = ["--img-size", "32", "--set", "num_resamples=0", "--no-track"]
    with no_pictures():
        assert main([*command[1:], *small]) == 0
    spoken = capsys.readouterr()
    words = [
        said,
        " images to train on",
        "class  images  groups  images",
        f"images    size {size}",
        "balanced_accuracy",
    ]
    places = [spoken.out.index(word) for word in words]
    assert places == sorted(places) and "testing on" in spoken.err
    (folder,) = Path("runs").glob("*/*")
    assert ("prevalence" in (folder / "training.json").read_text()) is (make is table_with_options)
