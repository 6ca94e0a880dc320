# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from monai_ept.data import eval_transforms, load_source, validate_records

SIZES = {
    "synthetic_derm": {"num_per_class": 3, "num_test_per_class": 2, "img_size": 32},
    "synthetic_chest": {"num_images": 40, "num_test_images": 4, "img_size": 32},
    "synthetic_volume": {"num_per_class": 3, "num_test_per_class": 2, "img_size": 16},
}


@pytest.mark.parametrize("source", SIZES)
def test_lazy_pictures_are_the_same(source):
    drawn, lazy = load_source(source, **SIZES[source]), load_source(source, **SIZES[source], lazy=True)
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
