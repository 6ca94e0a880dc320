# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.data.check_records import validate_records
from monai_ept.data.records import RecordSet
from monai_ept.data.sources.registry import load_source
from monai_ept.data.sources.synthetic import (
    render_chest,
    render_derm,
    render_volume,
    synthetic_chest,
    synthetic_derm,
    synthetic_volume,
)

SMALL = {
    "derm": lambda **options: synthetic_derm(3, 2, img_size=32, **options),
    "chest": lambda **options: synthetic_chest(40, 4, img_size=32, **options),
    "volume": lambda **options: synthetic_volume(3, 2, img_size=16, **options),
}


def pixels(data):
    return [record["image"].tobytes() for record in data.records]


@pytest.mark.parametrize("kind", SMALL)
def test_records_are_valid_and_typed(kind):
    data = SMALL[kind]()
    assert isinstance(data, RecordSet)
    validate_records(data, check_images="full")
    shapes = {"derm": ((32, 32, 3), np.uint8), "chest": ((32, 32), np.uint8), "volume": ((16, 16, 16), np.int16)}
    for record in data.records:
        assert (record["image"].shape, record["image"].dtype) == shapes[kind]
        assert set(record) == {"image", "label", "group", "id", "split"}
    assert data.spatial_dims == (3 if kind == "volume" else 2)
    assert data.task == ("multilabel" if kind == "chest" else "multiclass")
    train, test = ({record["group"] for record in data.official(split)} for split in ("train", "test"))
    assert train and test and not train & test


def test_counts_are_as_asked_for():
    assert set(synthetic_derm(4, 3, img_size=16).counts().values()) == {7}
    assert set(synthetic_volume(4, 0, img_size=8, num_classes=3).counts().values()) == {4}
    data = synthetic_chest(40, 0, img_size=16)
    assert len(data) == 40 and min(data.counts().values()) >= 1


@pytest.mark.parametrize("kind", SMALL)
def test_seed_decides(kind):
    first, again, other = SMALL[kind](seed=5), SMALL[kind](seed=5), SMALL[kind](seed=6)
    assert pixels(first) == pixels(again)
    assert first.source_hash == again.source_hash != other.source_hash
    assert not set(pixels(first)) & set(pixels(other))


def test_larger_set_contains_the_smaller():
    small, large = synthetic_derm(2, 1, img_size=24), synthetic_derm(4, 3, img_size=24)
    images = {record["id"]: record["image"] for record in large.records}
    for record in small.records:
        assert np.array_equal(images[record["id"]], record["image"])


def test_workers_draw_the_same():
    alone, shared = SMALL["derm"](), SMALL["derm"](num_workers=2)
    assert alone.source_hash == shared.source_hash
    for one, two in zip(alone.records, shared.records, strict=True):
        assert one["id"] == two["id"] and np.array_equal(one["image"], two["image"])


def test_a_group_is_a_lesion_seen_up_to_three_times():
    data = synthetic_derm(30, 0, img_size=16)
    sizes = np.unique([r["group"] for r in data.records], return_counts=True)[1]
    assert set(sizes) == {1, 2, 3}
    for record in data.records:
        assert record["group"].split("_")[1] == data.class_names[record["label"]]
    assert len({r["image"].tobytes() for r in data.records}) == len(data)


def test_sources_are_found_by_name():
    assert load_source("synthetic", num_per_class=1, num_test_per_class=0, img_size=16).name == "synthetic_derm"
    assert load_source("synthetic_chest", num_images=40, num_test_images=0, img_size=16).name == "synthetic_chest"
    assert load_source("synthetic_volume", num_per_class=1, img_size=8).name == "synthetic_volume"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: synthetic_derm(0), "num_per_class is 0, but must be at least 1"),
        (lambda: synthetic_derm(1, -1), "num_test_per_class is -1"),
        (lambda: synthetic_derm(1, img_size=8), "img_size is 8, but must lie between 16 and 4096"),
        (lambda: synthetic_derm(1, seed=-1), "seed is -1"),
        (lambda: synthetic_derm(1, img_size=16, num_workers=-1), "num_workers is -1"),
        (lambda: synthetic_chest(39), "num_images is 39, but must be at least 40"),
        (lambda: synthetic_volume(1, num_classes=4), "num_classes is 4"),
        (lambda: synthetic_volume(1, img_size=2), "img_size is 2"),
        (lambda: render_derm("naevus", seed=0, lesion=0, view=0), "no class 'naevus'"),
        (lambda: render_chest(("flu",), seed=0, patient=0, view=0), "no finding 'flu'"),
        (lambda: render_volume("cyst", seed=0, gland=0, scan=0), "no class 'cyst'"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
