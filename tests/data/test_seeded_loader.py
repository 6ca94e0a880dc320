# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.utils import set_determinism

from monai_ept.data import SeededDataLoader, train_transforms

RECORDS = [
    {
        "image": np.random.RandomState(n).randint(0, 256, (12, 12, 3), dtype=np.uint8),
        "label": n,
        "group": "",
        "id": str(n),
    }
    for n in range(12)
]


def epochs(loader_class: type, workers: int, count: int = 2, **options) -> list[tuple[list[int], torch.Tensor]]:
    """Labels and images of some epochs of a new dataset and loader, as in a new run of the same script."""
    set_determinism(5)
    try:
        dataset = CacheDataset(RECORDS, train_transforms(8, 0.5, 0.5), progress=False)
        if workers:
            options = {"multiprocessing_context": "fork", **options}
        loader = loader_class(dataset, num_workers=workers, batch_size=5, shuffle=True, **options)
        found = []
        for _ in range(count):
            batches = list(loader)
            labels = torch.cat([batch["label"] for batch in batches]).tolist()
            found.append((labels, torch.cat([batch["image"] for batch in batches])))
        return found
    finally:
        set_determinism(None)


def same(first: list, second: list) -> bool:
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_any_number_of_workers_gives_the_same() -> None:
    alone = epochs(SeededDataLoader, 0, 3)
    assert same(alone, epochs(SeededDataLoader, 0, 3))
    assert same(alone, epochs(SeededDataLoader, 1, 3))
    assert same(alone, epochs(SeededDataLoader, 3, 3))
    assert same(alone, epochs(SeededDataLoader, 2, 3, persistent_workers=True))
    assert alone[0][0] != alone[1][0]  # another order
    by_label = [dict(zip(labels, images, strict=True)) for labels, images in alone]
    assert not any(torch.equal(by_label[0][n], by_label[1][n]) for n in range(12))  # and other crops


def test_monai_loader_is_reproducible_too() -> None:
    alone = epochs(DataLoader, 0)
    assert same(alone, epochs(DataLoader, 0))
    several = epochs(DataLoader, 1)
    assert same(several, epochs(DataLoader, 1))
    assert same(several, epochs(DataLoader, 3))  # MONAI alone would not give this
    for run in (alone, several):
        by_label = [dict(zip(labels, images, strict=True)) for labels, images in run]
        assert not any(torch.equal(by_label[0][n], by_label[1][n]) for n in range(12))


def test_seed_and_epoch() -> None:
    def one(seed: int | None = None, epoch: int | None = None) -> torch.Tensor:
        loader = SeededDataLoader(Dataset(RECORDS, train_transforms(8, 0.5, 0.5)), batch_size=12, seed=seed)
        if epoch is not None:
            loader.set_epoch(epoch)
        return next(iter(loader))["image"]

    assert torch.equal(one(1), one(1)) and torch.equal(one(1), one(1, 0))
    assert not torch.equal(one(1), one(2)) and not torch.equal(one(1), one(1, 4))
    loader = SeededDataLoader(Dataset(RECORDS, train_transforms(8, 0.5, 0.5)), batch_size=12, seed=1)
    fifth = [next(iter(loader))["image"] for _ in range(5)][-1]
    assert torch.equal(fifth, one(1, 4))  # resuming at epoch 4


def test_subsets_and_records_without_id() -> None:
    dataset = Dataset(RECORDS, train_transforms(8, 0.5, 0.5))
    half = torch.utils.data.Subset(dataset, range(6))
    runs = [torch.cat([b["image"] for b in SeededDataLoader(half, batch_size=2, seed=3)]) for _ in range(2)]
    assert torch.equal(*runs)
    with pytest.raises(ValueError, match="exclude each other"):
        SeededDataLoader(half, sampler=range(6), shuffle=True)
    nameless = [{key: value for key, value in r.items() if key != "id"} for r in RECORDS]
    loader = DataLoader(Dataset(nameless, train_transforms(8, 0.5, 0.5)), batch_size=12)
    assert not torch.equal(next(iter(loader))["image"], next(iter(loader))["image"])
