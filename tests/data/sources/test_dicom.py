# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_ept.data import DataError, eval_transforms, load_source
from monai_ept.data.read_image import read_image
from tests.dicom_files import write_dicom

pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")


GREY = np.arange(6 * 10, dtype=np.uint16).reshape(6, 10) * 60


def test_grey_rows_first_and_inverted(tmp_path: Path) -> None:
    plain = read_image(write_dicom(tmp_path / "a.dcm", GREY))
    assert np.array_equal(plain.numpy(), GREY)
    inverted = read_image(write_dicom(tmp_path / "b", GREY, interpretation="MONOCHROME1"))  # no suffix either
    assert np.array_equal(inverted.numpy(), GREY.max() - GREY)
    with pytest.raises(ValueError, match="PALETTE COLOR"):
        read_image(write_dicom(tmp_path / "c.dcm", GREY, interpretation="PALETTE COLOR"))


def test_colour_and_transforms(tmp_path: Path) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (6, 10, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "a.dcm", pixels, interpretation="RGB")
    image = eval_transforms((6, 10), 0.0, 1.0)({"image": str(path), "label": 0})["image"]
    np.testing.assert_allclose(image, np.moveaxis(pixels, -1, 0) / 255, atol=1e-6)
    grey = eval_transforms((6, 10), 0.0, 1.0)({"image": str(write_dicom(tmp_path / "b.dcm", GREY)), "label": 0})
    np.testing.assert_allclose(grey["image"][1], GREY / GREY.max(), atol=1e-6)


def test_folders_group_by_patient(tmp_path: Path) -> None:
    for name, patient in (("x/1.dcm", "anna"), ("x/2.dcm", "anna"), ("x/3", "bela"), ("y/4.dcm", "")):
        write_dicom(tmp_path / name, GREY, patient)
    (tmp_path / "x" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    data = load_source("dicom", tmp_path)
    assert [record["group"] for record in data.records] == ["anna", "anna", "bela", "y/4.dcm"]
    alone = load_source("dicom", tmp_path, group_tag=None)
    assert all(record["group"] == record["id"] for record in alone.records)
    (tmp_path / "t.csv").write_text("image,label\nx/1,no\ny/4.dcm,yes\n")
    assert [r["group"] for r in load_source("dicom", tmp_path, csv="t.csv").records] == ["anna", "y/4.dcm"]
    with pytest.raises(TypeError, match="together with csv"):
        load_source("dicom", tmp_path, label="x")


def test_series_is_a_volume(tmp_path: Path) -> None:
    slices = np.random.RandomState(0).randint(0, 4000, (5, 6, 10), dtype=np.uint16)
    for label, patient in (("x", "anna"), ("y", "bela")):
        for n in (3, 1, 5, 2, 4):  # files may be named in any order
            write_dicom(tmp_path / label / patient / f"{9 - n}.dcm", slices[n - 1], patient, slice_number=n)
    data = load_source("dicom", tmp_path, spatial_dims=3)
    assert [(r["id"], r["group"]) for r in data.records] == [("x/anna", "anna"), ("y/bela", "bela")]
    volume = read_image(data.records[0]["image"])
    assert np.array_equal(volume.numpy(), np.moveaxis(slices, 0, -1))
    image = eval_transforms(8, 0.5, 0.5, in_channels=1, spatial_dims=3)(data.records[0])["image"]
    assert image.shape == (1, 8, 8, 8)


def test_truncated_file(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x" / "a.dcm", GREY)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"a.dcm' cannot be read"):
        load_source("dicom", tmp_path)


def test_a_dark_series_is_turned_round_as_a_whole(tmp_path: Path) -> None:
    slices = [np.array([[0, 10], [20, 30]], np.uint16), np.array([[100, 110], [120, 200]], np.uint16)]
    for number, pixels in enumerate(slices):
        write_dicom(tmp_path / f"{number}.dcm", pixels, "", "MONOCHROME1", slice_number=number)
    assert np.array_equal(np.asarray(read_image(tmp_path)), 200 - np.stack(slices, axis=-1))
