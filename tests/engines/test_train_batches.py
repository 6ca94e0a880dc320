# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter

import torch

from monai_ept.engines.train_batches import seen_at_random, train_batches

IMAGES = [{"image": torch.full((1, 8, 8), float(index)), "label": index} for index in range(7)]


def epoch(loader) -> list[int]:
    return [int(label) for batch in loader for label in batch["label"]]


def test_an_epoch_shows_each_image_once():
    loader = train_batches(IMAGES, 3)
    assert len(loader) == 3 and sorted(epoch(loader)) == list(range(7))


def test_an_epoch_of_so_many_steps_shows_all_images_alike():
    loader = train_batches(IMAGES, 4, steps=5)
    first, second = epoch(loader), epoch(loader)
    assert len(loader) == 5 and len(first) == 20 and first != second
    assert set(Counter(first).values()) == {2, 3}
    assert first == epoch(train_batches(IMAGES, 4, steps=5)) != epoch(train_batches(IMAGES, 4, steps=5, seed=1))


def test_random_views_are_made_of_the_batch():
    batch = {"image": torch.rand(4, 3, 16, 16), "label": torch.arange(4)}
    prepare = seen_at_random("turned")
    torch.manual_seed(0)
    (first, labels), (second, _) = prepare(batch, torch.device("cpu")), prepare(batch, "cpu")
    assert first.shape == batch["image"].shape and torch.equal(labels, batch["label"])
    assert not torch.equal(first, batch["image"]) and not torch.equal(first, second)
