# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_ept.data.image_transforms import RandAreaCropd


@pytest.mark.parametrize("shape", [(50, 80), (80, 50), (20, 30, 40), (3, 200), (1, 1)])
def test_crops_have_the_area_and_shape_asked_for(shape: tuple[int, ...]) -> None:
    crop = RandAreaCropd("image", scale=(0.2, 0.6), ratio=(3 / 4, 4 / 3)).set_random_state(0)
    image = torch.arange(np.prod(shape)).reshape(1, *shape).float()
    places = set()
    for _ in range(200):
        out = crop({"image": image})["image"]
        size = out.shape[1:]
        assert all(1 <= n <= limit for n, limit in zip(size, shape, strict=True))
        places.add(tuple(crop._start))
        share = out.numel() / image.numel()
        if min(shape) >= 20:
            assert 0.15 < share < 0.7
        if len(shape) == 2 and min(shape) >= 20:
            assert 0.7 < size[1] / size[0] < 1.43
        corner = tuple(crop._start)
        assert out.flatten()[0] == image[0][corner]
    assert len(places) > 50 or min(shape) < 20


def test_crop_options() -> None:
    fixed = RandAreaCropd("image", scale=(0.2, 1.0), ratio=None, target=(10, 20)).set_random_state(0)
    for _ in range(50):
        out = fixed({"image": torch.zeros(1, 100, 100)})["image"]
        assert abs(out.shape[2] / out.shape[1] - 2) < 0.1
    for bad in ({"scale": (0, 1)}, {"scale": (0.5, 1.2)}, {"ratio": (2, 1)}, {"ratio": None}):
        with pytest.raises(ValueError):
            RandAreaCropd("image", **bad)
    same = RandAreaCropd(["image", "mask"], scale=(0.2, 0.5)).set_random_state(0)
    out = same({"image": torch.arange(400.0).reshape(1, 20, 20), "mask": torch.arange(400.0).reshape(1, 20, 20)})
    assert torch.equal(out["image"], out["mask"])
