# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monai_ept.data import DataError, FewShotSplit, RecordSet, few_shot_split, load_source
from monai_ept.data.keep_together import contradictions, joined_groups
from monai_ept.data.split import leaks
from tests.data.conftest import toy, write_image


def quiet(*args, **options) -> FewShotSplit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return few_shot_split(*args, **options)


def test_nothing_to_join_is_the_data_itself() -> None:
    data = toy()
    assert joined_groups(data) is data


def test_groups_that_share_an_image_become_one() -> None:
    data = replace(toy(), copies=[["c0_g00_i0", "c0_g05_i1"], ["c0_g05_i0", "c0_g03_i0"]])
    joined = joined_groups(data)
    groups = {record["id"]: record["group"] for record in joined.records}
    assert {groups[f"c0_g{g}_i{i}"] for g in ("00", "03", "05") for i in range(2)} == {"c0_g00"}
    assert len(set(groups.values())) == len({record["group"] for record in data.records}) - 2
    assert joined_groups(data) is joined and joined_groups(data, [("c1_g00_i0", "c1_g01_i0")]) is not joined
    # The records of the others are the very same, by which a sweep knows what it has decoded.
    assert all(a is b for a, b in zip(joined.records, data.records, strict=True) if a["group"] == b["group"])


def test_parts_of_one_whole() -> None:
    data = replace(toy(), wider={f"c0_g0{n}": "slide" for n in range(4)})
    split = quiet(data, 2)
    slide = [record["id"] for record in (*split.train, *split.test) if record["group"] == "slide"]
    assert len(slide) == 8
    assert leaks(split.train, split.val, split.test) == []
    assert split.source_hash == toy().source_hash  # what it was made from is what it was
    assert FewShotSplit.from_json(split.to_json(), data) == split


@pytest.fixture
def with_copies(tmp_path: Path) -> Path:
    """Twenty images of two classes, of which four are there again under other names."""
    for n in range(20):
        write_image(tmp_path / f"{'ab'[n % 2]}/{n:02d}.png", n)
    for n in (0, 2):
        shutil.copy(tmp_path / f"a/{n:02d}.png", tmp_path / f"a/copy_of_{n}.png")
    (tmp_path / "b/link.png").symlink_to("01.png")
    os.link(tmp_path / "b/03.png", tmp_path / "b/hard.png")
    return tmp_path


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", ["group", "image"])
def test_copies_never_cross_and_count_once(with_copies: Path, seed: int, by: str) -> None:
    data = load_source("folder", with_copies)
    with pytest.warns(
        UserWarning, match="4 images are exact copies of others, such as 'a/copy_of_0.png' of 'a/00.png'"
    ):
        split = few_shot_split(data, 3, seed, by=by, val="shots")
    pixels = {
        name: [Path(record["image"]).read_bytes() for record in getattr(split, name)]
        for name in ("train", "val", "test")
    }
    assert [len(part) for part in pixels.values()] == [6, 6, 8]
    everything = [content for part in pixels.values() for content in part]
    assert len(set(everything)) == len(everything) == 20
    assert FewShotSplit.from_json(split.to_json(), data) == split


def test_a_copy_of_an_official_test_image_is_not_trained_on(tmp_path: Path) -> None:
    for n in range(12):
        write_image(tmp_path / ("test" if n < 4 else "train") / "ab"[n % 2] / f"{n:02d}.png", n)
    shutil.copy(tmp_path / "test/a/00.png", tmp_path / "train/a/again.png")
    data = load_source("folder", tmp_path)
    assert len(data.official("train")) == 9
    split = quiet(data, 9)
    assert len(split.train) == 8 and "train/a/again.png" not in {record["id"] for record in split.train}
    clean = quiet(data, 9, crossing="train")
    assert len(clean.test) == 3 and "train/a/again.png" in {record["id"] for record in clean.train}
    assert clean.settings["crossing"] == "train" and "crossing" not in split.settings


def test_contradicting_labels(tmp_path: Path) -> None:
    for n in range(8):
        write_image(tmp_path / "ab"[n % 2] / f"{n}.png", n)
    shutil.copy(tmp_path / "a/0.png", tmp_path / "b/wrong.png")
    data = load_source("folder", tmp_path)  # what was trained on it can still be looked at
    with pytest.raises(DataError, match="'a/0.png' as 'a' and 'b/wrong.png' as 'b': remove the wrong ones"):
        few_shot_split(data, 1)

    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 255, (8, 5, 5), dtype=np.uint8))
    records = [
        {"image": image, "label": n % 2, "group": f"{n}", "id": f"{n}"}
        for n, image in enumerate([*images, images[0]], 1)
    ]
    arrays = RecordSet("arrays", records, ("even", "odd"))
    assert contradictions(arrays) == ([], set())
    arrays.records[8]["label"] = 0
    with pytest.warns(UserWarning, match="2 of them have labels that contradict"):
        split = few_shot_split(arrays, 1)
    assert {"1", "9"}.isdisjoint(record["id"] for record in (*split.train, *split.val, *split.test))


def test_images_that_nobody_checked_are_looked_at_by_the_split(with_copies: Path) -> None:
    data = load_source("folder", with_copies)
    by_hand = RecordSet(data.name, data.records, data.class_names)
    assert by_hand.copies is None
    assert quiet(by_hand, 3).to_json() == quiet(data, 3).to_json()
    # who asks for no look at the images gets none
    assert load_source("folder", with_copies, check_images="none").copies == []
