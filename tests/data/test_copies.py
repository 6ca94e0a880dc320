# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from monai_ept.data.copies import exact_copies
from tests.data.conftest import write_image
from tests.dicom_files import write_dicom


def records(*images) -> list[dict]:
    return [
        {"image": str(image) if isinstance(image, Path) else image, "id": f"{n}", "label": 0, "group": f"{n}"}
        for n, image in enumerate(images)
    ]


def test_the_same_bytes_under_other_names_and_links(tmp_path: Path) -> None:
    first, other = write_image(tmp_path / "a.png"), write_image(tmp_path / "b.png", 1)
    copy = Path(shutil.copy(first, tmp_path / "copy.png"))
    (tmp_path / "link.png").symlink_to("a.png")
    os.link(first, tmp_path / "hard.png")
    images = first, other, copy, tmp_path / "link.png", tmp_path / "hard.png"
    assert exact_copies(records(*images)) == [["0", "2", "3", "4"]]


def test_files_of_one_length_are_told_apart(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{seed}.bmp", seed) for seed in range(4)]
    assert len({path.stat().st_size for path in paths}) == 1
    assert exact_copies(records(*paths)) == []


def test_a_packed_volume_is_the_same_as_it_is_unpacked(tmp_path: Path) -> None:
    volume = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    nibabel.save(volume, tmp_path / "a.nii")
    for name, time in (("b.nii.gz", 1), ("c.nii.gz", 2)):  # the time stands in the file, so that its bytes differ
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes(), mtime=time))
    other = nibabel.Nifti1Image(np.arange(1, 61, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    nibabel.save(other, tmp_path / "d.nii.gz")
    assert exact_copies(records(*sorted(tmp_path.iterdir()))) == [["0", "1", "2"]]


def test_a_series_is_all_of_its_files(tmp_path: Path) -> None:
    for scan, seed in (("x", 0), ("y", 1), ("z", 0)):
        for number in (1, 2):
            pixels = np.full((4, 4), seed + number, np.uint16)
            write_dicom(tmp_path / scan / f"{number}.dcm", pixels, slice_number=number)
    shutil.copytree(tmp_path / "x", tmp_path / "renamed")
    (tmp_path / "renamed/1.dcm").rename(tmp_path / "renamed/first.dcm")
    assert exact_copies(records(*(tmp_path / name for name in ("x", "y", "renamed")))) == [["0", "2"]]


def test_arrays() -> None:
    pixels = [np.full((5, 5), value, np.uint8) for value in (1, 2, 1)]
    assert exact_copies(records(*pixels, pixels[0].astype(np.int16), pixels[0][:4])) == [["0", "2"]]


def test_pixels_saved_anew_without_loss(tmp_path: Path) -> None:
    first = write_image(tmp_path / "a.png")
    Image.open(first).save(tmp_path / "b.bmp")
    Image.open(first).save(tmp_path / "c.tif")
    write_image(tmp_path / "d.png", 1)
    images = records(*sorted(tmp_path.iterdir()))
    assert exact_copies(images) == [] and exact_copies(images, pixels=True) == [["0", "1", "2"]]


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "short.nii.gz").write_bytes(b"x")
    images = records(*sorted(tmp_path.iterdir()), tmp_path / "none.png", object())
    assert exact_copies(images) == [] and exact_copies(images, pixels=True) == []
    assert exact_copies(records()) == []
    twice = records(write_image(tmp_path / "a.png"))
    assert exact_copies(twice * 2) == []  # one record, listed twice
