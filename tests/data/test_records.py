# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from monai.data import Dataset

from monai_ept.data import DataError, RecordSet
from monai_ept.data.records import positive_classes
from tests.data.conftest import toy


def test_hash_ignores_order_folders_and_number_types() -> None:
    data = toy()
    shuffled = random.Random(0).sample(data.records, len(data))
    moved = [
        {**record, "image": "/elsewhere/" + record["image"], "label": np.int64(record["label"])} for record in shuffled
    ]
    assert RecordSet("other", moved, data.class_names).source_hash == data.source_hash


@pytest.mark.parametrize("key, value", [("id", "z"), ("group", "z"), ("label", 2), ("split", "test")])
def test_hash_notices_what_a_split_depends_on(key: str, value: object) -> None:
    data = toy()
    changed = [{**data.records[0], key: value}, *data.records[1:]]
    assert RecordSet("toy", changed, data.class_names).source_hash != data.source_hash
    assert RecordSet("toy", data.records, ("a", "b", "x")).source_hash != data.source_hash


def test_hash_is_the_same_on_every_machine() -> None:
    assert toy().source_hash == "b3b22f1690b0f1241b80b459e154095255985aa9a18f9d0db01c0b82aaa08bea"


def test_counts_and_official_splits() -> None:
    data = toy(official=True)
    assert data.counts() == {"a": 12, "b": 12, "c": 12}
    assert len(data.official("test")) == 12 and len(data.official("train")) == 24 and not data.official("val")
    assert toy(task="multilabel").counts() == {"a": 20, "b": 12, "c": 12}
    assert positive_classes([0, 1, 1]) == [1, 2] and positive_classes(2) == [2]


def test_records_go_straight_into_a_monai_dataset() -> None:
    data = toy()
    assert Dataset(data.records)[3]["id"] == data.records[3]["id"]


def test_error_lists_twenty_problems_and_survives_pickling() -> None:
    error = DataError("x", [f"problem {n}" for n in range(25)])
    assert "25 problems" in str(error) and "20. problem 19" in str(error) and "problem 20" not in str(error)
    assert "and 5 more" in str(error)
    again = pickle.loads(pickle.dumps(error))  # workers and process pools send errors this way
    assert str(again) == str(error) and again.problems == error.problems
