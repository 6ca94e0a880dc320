# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_ept.data.images_on_device import ImagesOnDevice
from monai_ept.engines.train_batches import train_batches

IMAGES = [{"image": torch.rand(3, 8, 8), "label": index % 3, "id": f"i{index}"} for index in range(7)]


@pytest.mark.parametrize("steps", [None, 5])
def test_the_batches_are_those_of_any_loader(steps):
    kept = train_batches(ImagesOnDevice(IMAGES, torch.device("cpu")), 3, steps=steps, num_workers=2)
    plain = train_batches(IMAGES, 3, steps=steps)
    assert len(kept) == len(plain)
    for _epoch in range(2):
        for one, other in zip(kept, plain, strict=True):
            assert torch.equal(one["image"], other["image"]) and one["id"] == other["id"]
            assert torch.equal(one["label"], other["label"]) and one["label"].dtype == other["label"].dtype


def test_several_labels_of_an_image():
    rows = [{"image": torch.rand(1, 4, 4, 4), "label": torch.tensor([0.0, 1.0]), "id": str(n)} for n in range(2)]
    batch = ImagesOnDevice(rows, torch.device("cpu")).__getitems__([1, 0])
    assert batch["id"] == ["1", "0"] and torch.equal(batch["label"], torch.tensor([[0.0, 1.0]] * 2))


def test_the_processor_has_them_already():
    assert not ImagesOnDevice.suits(IMAGES, torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_on_cuda_they_stay_there():
    loader = train_batches(IMAGES, 3, device=torch.device("cuda"))
    assert all(batch["image"].is_cuda and batch["label"].is_cuda for batch in loader)
