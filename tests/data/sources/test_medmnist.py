# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_ept.data import DataError, load_source


def save(path: Path, shape: tuple[int, ...] = (28, 28), labels: int = 1, drop: tuple[str, ...] = (), **other) -> Path:
    rng = np.random.RandomState(0)
    arrays = {}
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = rng.randint(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count * labels).reshape(count, labels) % 2).astype(np.uint8)
    np.savez(path, **{key: value for key, value in {**arrays, **other}.items() if key not in drop})
    return path


def problems(path: Path, **options) -> list[str]:
    with pytest.raises(DataError) as caught:
        load_source("medmnist", path, **options)
    return caught.value.problems


@pytest.mark.parametrize(
    "shape, dims", [((28, 28), 2), ((64, 64), 2), ((28, 28, 3), 2), ((28, 28, 28), 3), ((64, 64, 64), 3)]
)
def test_shapes(tmp_path: Path, shape: tuple[int, ...], dims: int) -> None:
    data = load_source("medmnist", save(tmp_path / "x.npz", shape))
    assert data.spatial_dims == dims and data.records[0]["image"].shape == shape and data.class_names == ("0", "1")
    assert [len(data.official(split)) for split in ("train", "val", "test")] == [8, 4, 4]
    assert type(data.records[0]["label"]) is int


def test_names_multilabel_and_folder(tmp_path: Path) -> None:
    save(tmp_path / "pneumoniamnist_64.npz")
    assert load_source("medmnist", tmp_path).class_names == ("normal", "pneumonia")
    save(tmp_path / "many.npz", labels=3)
    data = load_source("medmnist", tmp_path, file="many.npz", class_names=["a", "b", "c"])
    assert data.task == "multilabel" and data.records[0]["label"] == [0, 1, 0]
    assert "many.npz, pneumoniamnist_64.npz" in problems(tmp_path)[0]


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    found = problems(save(path, drop=("train_labels", "test_images")))
    assert [line.split(";")[0] for line in found] == ["there is no key 'train_labels'", "there is no key 'test_images'"]
    assert len(load_source("medmnist", save(path, drop=("val_labels", "val_images")))) == 12
    assert problems(save(path, val_labels=np.zeros((3, 1), np.uint8))) == ["4 val images, but 3 labels"]
    assert "no images" in problems(save(path, train_images=np.zeros((8, 5))))[0]
    bad = np.array([[0], [1], [250], [0]])
    assert problems(save(path, val_labels=bad)) == [
        "x.npz, val_000002: label 250 is out of range, there are 2 classes (0 to 1)"
    ]
    assert "label 0.5 is not a whole number" in problems(save(path, val_labels=bad * 0.5), class_names=["a", "b"])[1]
    assert problems(save(path), class_names=["a", "b", "c"]) == ["class 'c' has no image"]
    path.write_bytes(path.read_bytes()[:100])
    assert "cannot be read as npz" in problems(path)[0]
    assert problems(tmp_path / "none.npz") == ["the file does not exist"]


def test_real_files(real_data: Path) -> None:
    data = load_source("medmnist", real_data / "medmnist", file="adrenalmnist3d.npz")
    assert data.spatial_dims == 3 and data.counts() == {"normal": 1234, "hyperplasia": 350}
    data = load_source("medmnist", real_data / "medmnist", file="pneumoniamnist_modified.npz")
    assert data.spatial_dims == 2 and data.class_names == ("normal", "pneumonia") and len(data) == 5030
