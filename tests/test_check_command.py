# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from monai_ept.__main__ import main
from monai_ept.data.sources.isic2018 import ISIC2018_CLASSES
from tests.bundles.cases import ROOT, environment
from tests.data.conftest import write_image
from tests.fresh_process import start_module


def next_step(data: str, capsys: pytest.CaptureFixture) -> str:
    """What the command says last: what to run next."""
    assert main(["check", data, "--fast"]) == 0
    return capsys.readouterr().out.partition("\nnext\n")[2]


def test_the_lines_of_python_train(tmp_path, monkeypatch, capsys, empty_database) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path)
    rows = [f"p{n},{'xy'[n % 2]}," for n in range(8)]
    for n in range(8):
        write_image(tmp_path / "own/img" / f"p{n}.png", n)
    (tmp_path / "own/labels.csv").write_text("\n".join(["file,dx,patient", *rows]) + "\n")
    first, *lines, last = next_step("own", capsys).splitlines()
    assert (first, last) == ("python - <<'END'", "END")
    exec("\n".join(lines), {})
    said = capsys.readouterr()
    assert "balanced_accuracy" in said.out
    words = ["data      labels, read from own as source csv", " images to train on", "class  images  groups  images"]
    words += ["images    size 12 × 16, channels 3, numbers uint8 (those to train on)", "testing on 2 images"]
    places = [said.err.index(word) for word in words]
    assert places == sorted(places)


@pytest.mark.slow
def test_the_command_of_a_bundle_trains(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.RandomState(0).randint(0, 255, (8, 8, 8, 8), dtype=np.uint8)
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", train_images=images, train_labels=np.arange(8)[:, None] % 2)
    bundle = f"{ROOT}/ept_volume"
    copy, _, command = next_step(str(tmp_path), capsys).partition(" && ")
    assert copy == "monai-ept bundle copy ept_volume"
    (tmp_path / "ept_volume").symlink_to(bundle)
    assert next_step(str(tmp_path), capsys) == command
    python, module, *arguments = shlex.split(command.replace("-m ", ""))
    process = start_module(
        [module, *arguments, "--img_size", 16, "--track", "false"], tmp_path, tmp_path / "said", environment()
    )
    process.join()
    said = (tmp_path / "said").read_text()
    assert python == "python" and process.exitcode == 0, said
    assert "--source_options \"{'file': 'a.npz'}\"" in command
    assert f"data      a, read from {tmp_path} as source medmnist" in said and "images    size 8 × 8 × 8" in said


def test_each_source_that_has_a_bundle_gets_it(tmp_path, capsys) -> None:
    for n in range(14):
        write_image(Path(tmp_path, "images", f"{n}.jpg"), n)
    rows = [f"{n},{ISIC2018_CLASSES[n // 2]},train," for n in range(14)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,dx,split,lesion_id", *rows]) + "\n")
    said = next_step(str(tmp_path), capsys)
    assert "ept_derm/configs/train.yaml" in said and said.endswith("--source isic2018 --shots 1\n")
