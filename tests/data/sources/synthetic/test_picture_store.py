# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import CacheDataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from monai_ept.data import RecordSet, eval_transforms, load_source, validate_records
from monai_ept.data.read_image import read_image

SIZES = {
    "synthetic_derm": {"num_per_class": 3, "num_test_per_class": 2, "img_size": 32},
    "synthetic_chest": {"num_images": 40, "num_test_images": 4, "img_size": 32},
    "synthetic_volume": {"num_per_class": 3, "num_test_per_class": 2, "img_size": 16},
}


def small(kind: str, **options) -> RecordSet:
    return load_source(kind, **SIZES[kind], **options)


@pytest.mark.parametrize("kind", SIZES)
def test_lazy_pictures_are_the_same(kind):
    drawn, lazy = small(kind), small(kind, lazy=True)
    assert drawn.source_hash == lazy.source_hash
    validate_records(lazy)
    for ours, theirs in zip(drawn.records[:2], lazy.records[:2], strict=True):
        image = pickle.loads(pickle.dumps(theirs["image"]))  # as on its way to a worker
        assert (image.shape, image.dtype) == (ours["image"].shape, ours["image"].dtype)
        assert np.array_equal(np.asarray(image), ours["image"])
    take = eval_transforms(16, 0.5, 0.5, spatial_dims=lazy.spatial_dims)
    assert torch.equal(take(drawn.records[0])["image"], take(lazy.records[0])["image"])


def test_lazy_pictures_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="lazy pictures are never written: leave cache_dir out, or lazy"):
        load_source("synthetic", lazy=True, cache_dir=tmp_path)


@pytest.mark.parametrize("kind", SIZES)
def test_cache_holds_the_same_pixels_and_is_drawn_once(kind, tmp_path):
    arrays, files = small(kind), small(kind, cache_dir=tmp_path, num_workers=2)
    validate_records(files, root=tmp_path, check_images="full")
    assert arrays.source_hash == files.source_hash
    for one, two in zip(arrays.records, files.records, strict=True):
        assert np.array_equal(np.asarray(read_image(two["image"])), one["image"])
    found = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(found) == len(files)  # nothing unfinished is left behind
    times = [path.stat().st_mtime_ns for path in found]
    small(kind, cache_dir=tmp_path)
    assert times == [path.stat().st_mtime_ns for path in found]


def test_broken_cache_file_is_drawn_again(tmp_path):
    files = small("synthetic_derm", cache_dir=tmp_path)
    paths = [Path(record["image"]) for record in files.records[:2]]
    good = [path.read_bytes() for path in paths]
    paths[0].write_bytes(good[0][:100])
    paths[1].write_bytes(b"")
    small("synthetic_derm", cache_dir=tmp_path)
    assert [path.read_bytes() for path in paths] == good


def test_failed_drawing_leaves_no_file(tmp_path, monkeypatch):
    def disk_full(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="no space left"):
        small("synthetic_derm", cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_monai_takes_arrays_and_files(tmp_path):
    arrays, files = small("synthetic_derm"), small("synthetic_derm", cache_dir=tmp_path)
    from_arrays = CacheDataset(arrays.records, EnsureChannelFirstd("image", channel_dim=-1), progress=False)
    load = Compose([LoadImaged("image", reverse_indexing=False), EnsureChannelFirstd("image")])
    from_files = CacheDataset(files.records, load, progress=False)
    for one, two in zip(from_arrays, from_files, strict=True):
        assert one["image"].shape == (3, 32, 32)
        assert np.array_equal(np.asarray(one["image"]), np.asarray(two["image"]))
