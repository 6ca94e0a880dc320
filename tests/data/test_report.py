# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from monai_ept.__main__ import main
from monai_ept.data.report import check_data
from tests.data.conftest import write_image


def folder(root: Path) -> Path:
    for n in range(8):
        write_image(root / f"train/{'ab'[n % 2]}/p{n}.png", n, size=(40 + n, 48))
    for n in range(8, 12):
        write_image(root / f"test/{'ab'[n % 2]}/p{n}.png", n, size=(40, 48))
    return root


def test_good_data(tmp_path: Path) -> None:
    folder(tmp_path)
    report = check_data(tmp_path, group_pattern=r"(p\d+)")
    assert report.refused == ""
    assert "images     12 of 2 classes: a 6, b 6" in report.text
    assert "official   test 4, train 8" in report.text
    assert "size       40 × 48 to 47 × 48" in report.text
    assert "copies     none" in report.text and "near       none" in report.text and "problems" not in report.text


def test_all_that_is_worth_knowing(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    shutil.copy(data / "train/a/p0.png", data / "test/a/again.png")
    Image.open(data / "train/a/p2.png").transpose(Image.Transpose.ROTATE_90).save(data / "test/a/turned.png")
    (data / "train/b/link.png").symlink_to("p1.png")
    (data / "train/a/notes.txt").write_text("x")
    os.mkfifo(data / "train/a/pipe")
    (data / "train/a/loop").symlink_to(".")
    report = check_data(data, out=tmp_path / "out")
    for said in (
        "other files .txt 1",
        "links      1 to files; 1 folders are there again and were passed over",
        "odd        1",
        "pipe' is a named pipe and no image file",
        "copies     2 images are exact copies of others, in 2 sets; a split takes one of each",
        "test/a/again.png = train/a/p0.png",
        "1 of 8 train groups are also in test",
        "near       3 pairs of near copies among 6 images; 1 pairs are in two groups, 0 have two labels",
        "test/a/turned.png  train/a/p2.png",
        'near_copies="group"',
    ):
        assert said in report.text, f"{said}\n{report.text}"
    rows = list(csv.DictReader((tmp_path / "out/near_copies.csv").read_text().splitlines()))
    assert len(rows) == 3 and {row["second"] for row in rows} == {"train/a/p0.png", "train/a/p2.png", "train/b/p1.png"}
    assert Image.open(tmp_path / "out/near_copies.png").width > 300
    assert "near " not in check_data(data, near=False).text


def test_the_command(tmp_path: Path, capsys) -> None:
    folder(tmp_path)
    assert main(["check", str(tmp_path), "--option", r"group_pattern=(p\d+)", "--fast"]) == 0
    assert "12 of 2 classes" in capsys.readouterr().out


def test_what_a_training_refuses_is_listed_and_the_status_is_1(tmp_path: Path, capsys) -> None:
    folder(tmp_path)
    (tmp_path / "train/a/empty.png").touch()
    (tmp_path / "train/b/words.png").write_text("x")
    with pytest.raises(SystemExit) as end:
        main(["check", str(tmp_path)])
    assert end.value.code == 1
    shown = capsys.readouterr()
    assert "problems   2" in shown.out and "words.png' cannot be read" in shown.out
    assert "empty.png' is empty (zero bytes) (and 1 more problems)" in shown.err.strip().splitlines()[-1]
