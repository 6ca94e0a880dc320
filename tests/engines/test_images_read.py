# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from monai_ept.data import few_shot_split, load_source
from monai_ept.data.image_content import content_hash
from monai_ept.engines import Training
from monai_ept.engines.images_read import image_hashes
from monai_ept.handlers import CheckpointError
from tests.engines.scenes import small_net


def test_each_image_by_its_id(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    array = np.zeros((2, 2))
    records = [{"image": str(tmp_path / "a.png"), "id": "file"}, {"image": array, "id": "array"}]
    assert image_hashes(records) == {"file": content_hash(tmp_path / "a.png"), "array": content_hash(array)}


@pytest.fixture
def folder_of_images(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(24):
        path = tmp_path / "data" / ("red", "green", "blue")[index % 3] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def training(data, folder, **options):
    split = few_shot_split(load_source("folder", data), 2, val="shots")
    return Training(small_net(class_names=None), split, {"epochs": 2}, folder=folder, progress=False, **options)


def test_a_training_does_not_go_on_with_other_images(folder_of_images, tmp_path):
    """All images of training were replaced between a kill and its resume, under the same names."""
    first = training(folder_of_images, tmp_path / "run")
    first.begin()
    first.trainer.run()
    last = (tmp_path / "run" / "last.pt").read_bytes()
    shutil.copytree(folder_of_images, tmp_path / "kept")
    again = training(folder_of_images, tmp_path / "run", resume=True)
    again.trainer.run()
    assert again.trainer.state.epoch == 2
    for value, record in enumerate(first.split.train):
        Image.fromarray(np.full((32, 32, 3), value, dtype=np.uint8)).save(record["image"])
    with pytest.raises(CheckpointError, match="was trained on other images: .* and 3 more of 12 have changed since"):
        training(folder_of_images, tmp_path / "run", resume=True).trainer.run()
    assert (tmp_path / "run" / "last.pt").read_bytes() == last
    shutil.rmtree(folder_of_images)
    shutil.copytree(tmp_path / "kept", folder_of_images)
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(first.split.val[0]["image"])
    with pytest.raises(CheckpointError, match="of 12 have changed since; put back what they were"):
        training(folder_of_images, tmp_path / "run", resume=True).trainer.run()
