# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from monai_ept.data import load_source
from monai_ept.data.image_content import content_hash, file_blocks, image_files


def test_hashes_are_what_they_have_always_been(tmp_path):
    """They stand in checkpoints, which go on with the images that they name and no others."""
    (tmp_path / "a.png").write_bytes(b"one")
    assert content_hash(tmp_path / "a.png") == hashlib.sha256(b"a.pngone").hexdigest()[:16]
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert content_hash(array) == hashlib.sha256(b"uint8 (2, 3)" + bytes(range(6))).hexdigest()[:16]
    assert content_hash(tmp_path / "none.png") == hashlib.sha256(b"none.pngunreadable 2").hexdigest()[:16]


def test_arrays_count_by_their_values():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (
        content_hash(array)
        == content_hash(array.copy())
        != content_hash(array.T)
        != content_hash(array.astype(np.int16))
    )


def test_files_count_by_their_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    before = content_hash(str(tmp_path / "a.png"))
    os.utime(tmp_path / "a.png", (1, 1))
    assert content_hash(tmp_path / "a.png") == before
    (tmp_path / "a.png").write_bytes(b"two")
    assert content_hash(tmp_path / "a.png") != before


def test_a_series_counts_by_all_its_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    before = content_hash(tmp_path)
    (tmp_path / "b").write_bytes(b"c")
    assert content_hash(tmp_path) != before


def test_pictures_that_are_not_drawn_yet_count_by_their_plan():
    sets = [load_source("synthetic_derm", lazy=True, img_size=size, num_per_class=2) for size in (32, 48, 32)]
    one, other, again = ([content_hash(record["image"]) for record in data.records] for data in sets)
    assert one == again and not set(one) & set(other)


def test_what_is_packed_is_read_unpacked_where_that_is_asked_for(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"volume")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"volume"))
    plain, packed = tmp_path / "a.nii", tmp_path / "a.nii.gz"
    assert b"".join(file_blocks(packed, unpacked=True)) == b"".join(file_blocks(plain, unpacked=True)) == b"volume"
    assert b"".join(file_blocks(packed)) == packed.read_bytes()


def test_files_of_an_image(tmp_path):
    for name in "ba":
        (tmp_path / "series").mkdir(exist_ok=True)
        (tmp_path / "series" / name).write_bytes(b"x")
    assert [path.name for path in image_files(tmp_path / "series")] == ["a", "b"]
    assert image_files(str(tmp_path / "series" / "a")) == [Path(tmp_path / "series" / "a")]
    assert image_files(np.zeros(3)) == image_files(tmp_path / "none") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_has_no_content_that_could_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert image_files(tmp_path / "pipe.png") == []
    assert content_hash(tmp_path / "pipe.png") == hashlib.sha256().hexdigest()[:16]
