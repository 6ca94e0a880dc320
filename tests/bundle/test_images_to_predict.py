# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from monai_ept.bundle import ReadOrReport, find_images, make_network
from monai_ept.engines import network_transforms


def test_files_are_found_by_name_or_mark(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("a.PNG", "b/c.nii.gz", "b/notes.txt", ".hidden/d.png", ".e.png", "f.npy"):
        (tmp_path / name).write_bytes(b"0")
    (tmp_path / "unnamed").write_bytes(bytes(128) + b"DICM")
    assert [record["id"] for record in find_images(tmp_path)] == ["a.PNG", "f.npy", "unnamed", "b/c.nii.gz"]
    assert [record["id"] for record in find_images(tmp_path / "a.PNG")] == ["a.PNG"]


def test_a_folder_of_dicom_files_is_one_volume(tmp_path):
    for name in ("scan/1.dcm", "scan/2.dcm", "scan/view.png", "other/1.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"0")
    assert [record["id"] for record in find_images(tmp_path, 3)] == ["other/1.nii", "scan", "scan/view.png"]
    assert len(find_images(tmp_path, 2)) == 4


def test_links_and_odd_files(tmp_path):
    for name in ("a/x.png", "b/y.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"0")
    for where, what in (("a/loop", "."), ("a/up", ".."), ("b/link.png", "../a/x.png")):
        (tmp_path / where).symlink_to(what)
    os.mkfifo(tmp_path / "a/pipe.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"0")
    found = find_images(tmp_path)
    names = ["caf\\udce9.png", "a/pipe.png", "a/x.png", "b/link.png", "b/y.png"]
    assert [record["id"] for record in found] == names
    network = make_network(["a", "b"], img_size=32)
    read = ReadOrReport(network_transforms(network), network)
    assert "is a named pipe and no image file" in read(found[1])["error"]  # and it does not wait for one who writes


def test_nothing_to_predict(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no image in .*: it takes PNG, JPEG"):
        find_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file or folder .* with images"):
        find_images(tmp_path / "nothing")


def test_unreadable_images_become_black_with_a_reason(tmp_path):
    network = make_network(["a", "b"], img_size=32)
    read = ReadOrReport(network_transforms(network), network)
    good = read({"image": np.full((40, 50, 3), 255, np.uint8), "id": "good"})
    assert good["error"] == "" and good["image"].shape == (3, 32, 32) and good["image"].min() > 0.99
    (tmp_path / "bad.png").write_bytes(b"x")
    for image in (str(tmp_path / "bad.png"), str(tmp_path / "none.png"), np.zeros((2, 3, 4, 5, 6))):
        bad = read({"image": image, "id": "bad"})
        assert bad["error"] and "\n" not in bad["error"] and torch.equal(bad["image"], torch.zeros(3, 32, 32))
