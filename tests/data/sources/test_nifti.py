# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_ept.data import DataError, eval_transforms, load_source


def write_volume(path: Path, array: np.ndarray | None = None, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if array is None:
        array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def test_folders_and_table(tmp_path: Path) -> None:
    for name in ("x/p1.nii.gz", "x/p2.nii", "y/p3.nii.gz"):
        write_volume(tmp_path / name)
    (tmp_path / "x" / "p1.json").write_text("{}")
    data = load_source("nifti", tmp_path)
    assert data.spatial_dims == 3 and data.counts() == {"x": 2, "y": 1}
    (tmp_path / "t.csv").write_text("image,label\nx/p1,no\nx/p2.nii,no\ny/p3,yes\n")
    table = load_source("nifti", tmp_path, csv="t.csv")
    assert [Path(r["image"]).name for r in table.records] == ["p1.nii.gz", "p2.nii", "p3.nii.gz"]


def test_orientation_is_made_the_same(tmp_path: Path) -> None:
    array = np.random.RandomState(0).rand(8, 8, 8).astype(np.float32)
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 7
    paths = [write_volume(tmp_path / "a.nii", array), write_volume(tmp_path / "b.nii", array[::-1], flipped)]
    transform = eval_transforms(8, 0.0, 1.0, in_channels=1, spatial_dims=3)
    first, second = (transform({"image": str(path), "label": 0})["image"] for path in paths)
    assert first.shape == (1, 8, 8, 8)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_truncated_volume(tmp_path: Path) -> None:
    path = write_volume(tmp_path / "x" / "a.nii.gz", np.random.RandomState(0).rand(16, 16, 16))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"a.nii.gz' cannot be read"):
        load_source("nifti", tmp_path)
