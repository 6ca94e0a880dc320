# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import gzip
import io
import os
import struct
import zlib

import nibabel
import numpy as np
import pandas
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from monai_ept.data import eval_transforms
from monai_ept.tracking.served_images import FOLDER, MOST_ROWS, read_table
from tests.dicom_files import write_dicom

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 4000, (30, 20), dtype=np.uint16)
TRANSFORM = eval_transforms(16, 0.5, 0.25)


def picture(pixels: np.ndarray = PIXELS, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def read(rows: object, transform: object = TRANSFORM, spatial_dims: int = 2) -> torch.Tensor:
    return read_table(rows, transform, spatial_dims)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a server may read, with what lies beside it."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.png").write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture())
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "own.png").symlink_to(inside / "a.png")
    os.mkfifo(inside / "pipe.png")
    (inside / "series").mkdir()
    monkeypatch.setenv(FOLDER, str(inside))
    return inside


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "DICOM", "DICOM1", "PNG16"])
def test_bytes_are_read_as_their_file_is(kind, tmp_path):
    if kind.startswith("DICOM"):
        interpretation = "MONOCHROME1" if kind == "DICOM1" else "MONOCHROME2"
        path = write_dicom(tmp_path / "a.dcm", GREY16, interpretation=interpretation)
        with_slope = pydicom.dcmread(path)
        with_slope.RescaleSlope, with_slope.RescaleIntercept = 2, -1024
        with_slope.save_as(path)
    else:
        path = tmp_path / "a.img"
        path.write_bytes(picture(GREY16 if kind == "PNG16" else PIXELS, kind.removesuffix("16")))
    expected = TRANSFORM({"image": str(path)})["image"]
    wrapped = base64.encodebytes(path.read_bytes()).decode()  # with line breaks, as base64 of a shell writes it
    found = read(pandas.DataFrame({"image": [path.read_bytes(), text(path.read_bytes()), wrapped]}))
    assert found.shape == (3, 3, 16, 16) and all(torch.equal(one, expected) for one in found)
    assert float(found.std()) > 0.1


def test_volumes_come_as_nifti_packed_or_not_and_keep_their_orientation(tmp_path):
    voxels = np.random.default_rng(0).normal(size=(12, 10, 8)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, 1.0, 2.0, 1.0])), tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    transform = eval_transforms(8, 0.5, 0.25, spatial_dims=3, in_channels=1)
    expected = transform({"image": str(tmp_path / "a.nii")})["image"]
    found = read([{"image": content}, {"image": gzip.compress(content)}], transform, 3)
    assert torch.equal(found[0], expected) and torch.equal(found[1], expected)


@pytest.mark.parametrize("form", [dict, list, "wrapped", pandas.DataFrame])
def test_a_table_comes_in_all_forms_that_mlflow_makes_of_a_request(form):
    sent = [text(picture()), text(picture(PIXELS[::-1]))]
    tables = {
        dict: {"image": np.array(sent)},
        list: [{"image": one} for one in sent],
        "wrapped": [{"image": np.array(one)} for one in sent],
        pandas.DataFrame: pandas.DataFrame({"image": sent, "patient": ["a", "b"]}),
    }
    found = read(tables[form])
    assert torch.allclose(found[0].flip(1), found[1], atol=1e-5) and not torch.equal(found[0], found[1])


def test_paths_and_bytes_in_one_request(folder):
    found = read([{"path": "a.png"}, {"image": text(picture())}, {"path": str(folder / "a.png")}, {"path": "own.png"}])
    assert len(found) == 4 and all(torch.equal(one, found[0]) for one in found)


@pytest.mark.parametrize(
    "path, said",
    [
        ("../secret.png", "'path' leads out of the folder"),
        ("link.png", "'path' leads out of the folder"),
        ("/etc/passwd", "'path' leads out of the folder"),
        ("nowhere.png", "the image does not exist"),
        ("pipe.png", "the image is a named pipe"),
        ("a\0.png", "'path' is no path of a file"),
        ("x" * 5000, "'path' is no path of a file"),
        (7, "'path' is no path of a file"),
        ("series", "'path' is a folder, and an image is a file"),
    ],
)
def test_paths_that_nobody_may_or_can_read(path, said, folder):
    with pytest.raises(ValueError, match=f"row 2 of 2: .*{said}") as caught:
        read([{"path": "a.png"}, {"path": path}])
    assert str(folder) not in str(caught.value) and "passwd" not in str(caught.value)


def test_a_series_may_have_no_slice_from_outside(folder, tmp_path):
    transform = eval_transforms(8, 0.5, 0.25, spatial_dims=3, in_channels=1)
    for number in (1, 2):
        write_dicom(folder / "series" / f"{number}.dcm", GREY16, slice_number=number)
    assert read([{"path": "series"}], transform, 3).shape == (1, 1, 8, 8, 8)
    (folder / "series" / "3.dcm").symlink_to(write_dicom(tmp_path / "3.dcm", GREY16, slice_number=3))
    with pytest.raises(ValueError, match="row 1 of 1: 'path' leads out"):
        read([{"path": "series"}], transform, 3)


def test_no_folder_no_paths(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(ValueError, match=rf"row 1 of 1: this server takes no paths \({FOLDER} is not set\)"):
        read([{"path": "a.png"}])


def png_of(width: int, height: int) -> bytes:
    """A few bytes that say they are a large picture."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0" * 100)) + part(b"IEND", b"")


def dicom_of(tmp_path, **tags: object) -> bytes:
    path = write_dicom(tmp_path / "a.dcm", GREY16)
    file = pydicom.dcmread(path)
    file.update(
        {pydicom.datadict.tag_for_keyword(name): pydicom.DataElement(name, "US", value) for name, value in tags.items()}
    )
    file.save_as(path)
    return path.read_bytes()


def deflated(tmp_path) -> bytes:
    file = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", np.zeros((2000, 2000), np.uint8)))
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file.save_as(tmp_path / "deflated.dcm")
    return (tmp_path / "deflated.dcm").read_bytes()


@pytest.mark.parametrize(
    "content, said",
    [
        (lambda _: b"", "'image' is empty"),
        (lambda _: b"\0" * 300, "the image is no PNG, JPEG"),
        (lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "the image is no PNG, JPEG"),
        (lambda _: picture(kind="PNG")[:200], "the image cannot be read"),
        (lambda _: picture(kind="JPEG")[:300], "the image cannot be read"),
        (lambda _: png_of(60_000, 60_000), "pixels"),
        (lambda _: png_of(9_000, 9_000), "the image has 81,000,000 pixels, and at most 67,108,864 are taken"),
        (lambda place: dicom_of(place)[:900], "the image cannot be read"),
        (lambda place: dicom_of(place, Rows=60_000, Columns=60_000), "the image has 3,600,000,000 pixels"),
        (deflated, "the image is deflated DICOM"),
        (lambda _: gzip.compress(b"\0" * 10**6), "cannot be read|ImageFileError"),
    ],
)
def test_bytes_that_are_no_image_or_too_large_a_one(content, said, tmp_path):
    with pytest.raises(ValueError, match=f"^row 2 of 2: .*{said}") as caught:
        read([{"image": picture()}, {"image": content(tmp_path)}])
    assert len(str(caught.value)) < 400 and str(tmp_path.parent.parent) not in str(caught.value)


def test_a_file_may_have_so_many_bytes_and_no_more(monkeypatch):
    monkeypatch.setattr("monai_ept.tracking.served_images.MOST_BYTES", len(picture()) - 1)
    for sent in (picture(), text(picture())):
        with pytest.raises(ValueError, match="row 1 of 1: the image has more than"):
            read([{"image": sent}])


@pytest.mark.parametrize(
    "table, said",
    [
        ([{"image": "a/b.png"}], "row 1 of 1: 'image' is no base64; the path of a file goes into"),
        ([{"image": 3.5}], "row 1 of 1: 'image' must be the bytes of a file, in base64, and is of type float"),
        ([{"image": None}], "row 1 of 1: there must be either 'image' or 'path', and there is neither"),
        ([{"image": "aaaa", "path": "a"}], "there must be either 'image' or 'path', and there is both"),
        ([{"picture": "aaaa"}], "neither a column 'image', for bytes in base64, nor a column 'path'"),
        ({"image": ["aaaa", "aaaa"], "path": ["a"]}, "its columns must be lists of the same length"),
        ({"image": np.zeros((2, 3))}, "the request is no table"),
        (pandas.DataFrame({"image": []}), f"the request has 0 rows, and 1 to {MOST_ROWS} are taken"),
        ({"image": ["aaaa"] * 101}, "the request has 101 rows"),
    ],
)
def test_tables_that_are_none(table, said):
    with pytest.raises(ValueError, match=said) as caught:
        read(table)
    assert "aaaa" not in str(caught.value)
