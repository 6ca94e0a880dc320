# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.benchmark.run.array_store import ArrayStore

ARRAYS = {
    "a": np.arange(6, dtype=np.int16).reshape(2, 3),
    "b": np.float32(2.5).reshape(()),
    "c": np.empty((0, 4)),
    "d": np.array([True, False]),
}


def test_what_was_put_comes_back_and_is_a_copy(tmp_path):
    store = ArrayStore(tmp_path / "deep" / "store", "things")
    store.put(ARRAYS)
    for one in (store, ArrayStore(tmp_path / "deep" / "store", "things")):
        one.refresh()
        for key, array in ARRAYS.items():
            found = one[key]
            assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)
            found.fill(0)
            assert np.array_equal(one[key], array)
    assert "e" not in store


def test_two_stores_of_one_folder_learn_from_each_other(tmp_path):
    first, second = ArrayStore(tmp_path, "things"), ArrayStore(tmp_path, "things")
    first.put({"a": ARRAYS["a"]})
    assert "a" not in second
    second.put({"a": np.zeros(9), "d": ARRAYS["d"]})  # the first that was there stays
    assert np.array_equal(second["a"], ARRAYS["a"])
    first.refresh()
    assert np.array_equal(first["d"], ARRAYS["d"])
    assert len((tmp_path / "things.jsonl").read_text().splitlines()) == 2


def test_what_was_half_written_is_cut_off(tmp_path):
    store = ArrayStore(tmp_path, "things")
    store.put({"a": ARRAYS["a"]})
    with open(tmp_path / "things.bin", "ab") as data, open(tmp_path / "things.jsonl", "ab") as index:
        data.write(b"half")
        index.write(b'["d", 16')
    again = ArrayStore(tmp_path, "things")
    again.put({"d": ARRAYS["d"]})
    store.refresh()
    assert np.array_equal(store["a"], ARRAYS["a"]) and np.array_equal(store["d"], ARRAYS["d"])


def test_an_index_that_promises_too_much_is_damaged(tmp_path):
    (tmp_path / "things.jsonl").write_text('["a", 0, [100], "|u1"]\n')
    with pytest.raises(ValueError, match=r"things\.jsonl is damaged: delete .*, things are computed again"):
        ArrayStore(tmp_path, "things").refresh()
