# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from monai_ept.files import WriteError, plain_json, remove_partials, usable_folder, write_whole


def test_writes_and_replaces(tmp_path):
    path = write_whole(tmp_path / "a.txt", "größer")
    assert path.read_bytes() == "größer".encode()
    write_whole(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"] and path.read_bytes() == b"new"


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="cannot write .*folder .*make room or choose another folder"):
        write_whole(tmp_path / "folder", b"content")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_folder(tmp_path):
    assert usable_folder(tmp_path / "a" / "b").is_dir() and not list((tmp_path / "a" / "b").iterdir())


def test_leftovers_of_others_are_cleared(tmp_path):
    for name in ("last.pt.123.partial", "other.pt.123.partial", "last.pt"):
        (tmp_path / name).write_text("")
    remove_partials(tmp_path, "last.pt")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.pt", "other.pt.123.partial"]


def test_values_in_the_words_of_json():
    values = {1: (np.float32(0.5), math.nan, -math.inf), "a": [np.int64(3), True, None, "x"]}
    assert plain_json(values) == {"1": [0.5, None, None], "a": [3, True, None, "x"]}
    assert json.dumps(plain_json(values), allow_nan=False) == '{"1": [0.5, null, null], "a": [3, true, null, "x"]}'


def test_threads_may_write_the_same_file(tmp_path):
    def write(number):
        for _ in range(30):
            write_whole(tmp_path / "run.json", f"{number}" * 2000)
            assert len(set((tmp_path / "run.json").read_text())) == 1  # one writer's, whole

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
