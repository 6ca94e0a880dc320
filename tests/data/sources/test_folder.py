# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest

from monai_ept.data import DataError, load_source
from tests.data.conftest import write_image


def problems(root: Path, **options) -> list[str]:
    with pytest.raises(DataError) as caught:
        load_source("folder", root, **options)
    return caught.value.problems


def test_classes_groups_and_other_files(tmp_path: Path) -> None:
    for name in ("x/p1_a.png", "x/p1_b.JPG", "x/deep/p2_a.png", "y/p3_a.png"):
        write_image(tmp_path / name)
    for name in ("x/notes.txt", "x/.hidden.png", ".cache/z.png", "readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    data = load_source("folder", tmp_path, group_pattern=r"(p\d)_")
    assert data.class_names == ("x", "y")
    assert {r["id"]: (r["label"], r["group"]) for r in data.records} == {
        "x/p1_a.png": (0, "p1"),
        "x/p1_b.JPG": (0, "p1"),
        "x/deep/p2_a.png": (0, "p2"),
        "y/p3_a.png": (1, "p3"),
    }
    assert all(r["group"] == r["id"] for r in load_source("folder", tmp_path).records)


def test_official_splits(tmp_path: Path) -> None:
    for name in ("train/x/a.png", "train/y/a.png", "validation/x/a.png", "Test/y/a.png"):
        write_image(tmp_path / name)
    data = load_source("folder", tmp_path)
    assert [len(data.official(split)) for split in ("train", "val", "test")] == [2, 1, 1]
    assert data.class_names == ("x", "y")


def test_wrong_folders(tmp_path: Path) -> None:
    assert "does not exist" in problems(tmp_path / "nowhere")[0]
    write_image(tmp_path / "Mel" / "a.png")
    write_image(tmp_path / "mel" / "a.png")
    (tmp_path / "nv").mkdir()
    assert problems(tmp_path) == ["class names 'Mel' and 'mel' differ in case only", "class 'nv' has no image"]
    found = problems(tmp_path, class_names=["mel", "bcc"])
    assert [line.split(" (")[0] for line in found] == [
        "unknown class 'Mel'",
        "unknown class 'nv'",
        "class 'bcc' has no image",
    ]
    assert "does not match 'Mel/a.png'" in problems(tmp_path, group_pattern=r"(\d+)_")[0]
    with pytest.raises(ValueError, match="parentheses"):
        load_source("folder", tmp_path, group_pattern="x")


def test_real_images(real_data: Path) -> None:
    assert load_source("folder", real_data / "colon_lc25000").counts() == {"colon_aca": 200, "colon_n": 200}
