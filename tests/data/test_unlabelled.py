# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from monai_ept.data import few_shot_split, load_source
from monai_ept.data.unlabelled import training_pool, without_labels


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for patient in range(6):
            for view in range(2):
                pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / name / f"p{name}{patient}_{view}.png")
    return load_source("folder", tmp_path / "images", group_pattern=r"(p..)_")


def test_the_pool_is_without_all_of_a_patient_who_is_tested(data):
    split = few_shot_split(data, shots=1, test_fraction=0.5, val="shots")
    pool = training_pool(data, split)
    held = {record["group"] for record in [*split.test, *split.val]}
    assert {record["group"] for record in pool} == {record["group"] for record in data.records} - held
    assert without_labels(data, split) == [{"image": one["image"], "id": one["id"]} for one in pool]
    assert len(without_labels(data)) == len(data)


def test_a_test_image_is_found_under_any_name(data, tmp_path):
    split = few_shot_split(data, shots=1, test_fraction=0.5)
    pool = [{"image": one["image"], "id": f"x{n}"} for n, one in enumerate(training_pool(data, split))]
    assert len(without_labels(pool, split)) == len(pool)
    tested = split.test[0]
    copy, link = tmp_path / "copy.png", tmp_path / "link.png"
    shutil.copy(tested["image"], copy)
    link.symlink_to(tested["image"])
    patient = {"image": "elsewhere.png", "id": "other", "group": tested["group"]}
    says_so = {"image": "elsewhere.png", "id": "other", "split": "test"}
    named = {"image": "elsewhere.png", "id": tested["id"]}
    for one in ({"image": str(copy), "id": "c"}, {"image": str(link), "id": "l"}, patient, says_so, named):
        with pytest.raises(ValueError, match=f"1 of the {len(pool) + 1} images to adapt to are test images"):
            without_labels([*pool, one], split)


def test_too_few(data):
    with pytest.raises(ValueError, match="there is one image to adapt to"):
        without_labels(data.records[:1])
    with pytest.raises(ValueError, match="record 1 of those to adapt to has no 'image'"):
        without_labels([data.records[0], {"id": "x"}])
