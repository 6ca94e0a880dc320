# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from monai_ept.__main__ import main
from monai_ept.data import few_shot_split, load_source
from monai_ept.data.report import about_split, check_data
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
    assert report.text.startswith("source     folder: its folders are parts of a split")
    assert "channels   3\nvalues     0 to 255 (uint8)" in report.text
    assert "groups     12: every image stands alone" in report.text
    assert report.split is not None and report.split.settings["shots"] == 4 and "split      4 shots:" in report.text
    assert str(report.split.summary).replace("\n", "\n           ") in report.text
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


def test_classes_that_are_folders_of_something_else(tmp_path: Path) -> None:
    for n, name in enumerate(("train", "test", "spare")):
        write_image(tmp_path / name / "a.png", n)
        write_image(tmp_path / name / "b.png", 10 + n)
    said = "'test', 'train' look like parts of a split"
    report = check_data(tmp_path)
    assert f"classes?   {said}" in report.text and not report.refused
    split = few_shot_split(load_source("folder", tmp_path), 1)
    lines = about_split(split)
    assert lines[0] == f"data      {tmp_path.name}, read from {tmp_path} as source folder"
    assert lines[1] == "split     3 images to train on, 0 to validate, 3 to test"
    assert lines[-2] == "images    size 12 × 16, channels 3, numbers uint8 (those to train on)"
    assert lines[-1].startswith(f"classes?  {said}")
    assert "          class  images  groups  images  groups" in lines


def test_what_no_source_reads_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    assert "put the images of each class into a folder" in check_data(tmp_path).refused


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
