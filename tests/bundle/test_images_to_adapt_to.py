# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_ept.bundle import unlabelled_images
from monai_ept.data import few_shot_split, load_source
from tests.noise_files import noise_files


@pytest.fixture
def images(tmp_path):
    return noise_files(tmp_path / "images")


def test_a_folder_or_the_rest(images, tmp_path):
    data = load_source("folder", images)
    split = few_shot_split(data, shots=1, test_fraction=0.5)
    assert unlabelled_images(None, data, split) is None
    rest = unlabelled_images("rest", data, split, {"steps": 3, "views": None})
    tested = {record["id"] for record in split.test}
    assert {record["id"] for record in rest.records} == {record["id"] for record in data.records} - tested
    assert (rest.settings.steps, rest.settings.views) == (3, None)
    with pytest.raises(ValueError, match=f"{len(tested)} of the 12 images to adapt to are test images"):
        unlabelled_images(str(images), data, split)
    (tmp_path / "more" / "deep").mkdir(parents=True)
    for name in "xy":
        pixels = np.full((16, 16, 3), ord(name), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "more" / "deep" / f"{name}.png")
    found = unlabelled_images(str(tmp_path / "more"), data, split)
    assert [record["id"] for record in found.records] == ["deep/x.png", "deep/y.png"]
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        unlabelled_images(str(tmp_path / "nowhere"), data, split)
