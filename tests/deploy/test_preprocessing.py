# SPDX-License-Identifier: Apache-2.0

"""The plain transforms make of every kind of file what ours make of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, Flipd
from PIL import Image

from monai_ept.data.transforms import eval_transforms
from monai_ept.deploy import plain_preprocessing
from tests.dicom_files import write_dicom

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def plain(transforms):
    """As a bundle's file has them, read again by MONAI."""
    content = {"imports": ["$from PIL import ImageOps"], "preprocessing": plain_preprocessing(transforms)}
    targets = [step["_target_"] for step in content["preprocessing"]["transforms"]]
    assert all(target.startswith("monai.transforms.") for target in targets)
    return ConfigParser(json.loads(json.dumps(content))).get_parsed_content("preprocessing")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    rgb = Image.fromarray(random.integers(0, 255, (37, 53, 3), dtype=np.uint8))
    for name, mode in (
        ("rgb", "RGB"),
        ("grey", "L"),
        ("alpha", "RGBA"),
        ("grey-alpha", "LA"),
        ("palette", "P"),
        ("bit", "1"),
    ):
        rgb.convert(mode).save(folder / f"{name}.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    upright = Image.Exif()
    upright[0x0112] = 6  # a quarter turn
    rgb.save(folder / "turned.jpg", exif=upright)
    Image.fromarray(random.integers(0, 60_000, (20, 30), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(random.normal(size=(20, 30)).astype(np.float32)).save(folder / "float.tiff")
    np.save(folder / "last.npy", random.integers(0, 255, (8, 9, 3), dtype=np.uint8))
    np.save(folder / "first.npy", random.integers(0, 255, (3, 70, 90), dtype=np.uint8))
    np.save(folder / "mask.npy", random.integers(0, 2, (9, 9)).astype(bool))
    xray = random.integers(0, 4000, (40, 60)).astype(np.uint16)
    pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")
    write_dicom(folder / "bright.dcm", xray)
    write_dicom(folder / "dark.dcm", xray, interpretation="MONOCHROME1")
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    "settings",
    [
        IMAGENET,
        {**IMAGENET, "keep_aspect": True, "interpolation": "bilinear"},
        {"mean": 0.5, "std": 0.5, "in_channels": 1},
        {"mean": 0.2, "std": 0.3, "interpolation": "nearest", "intensity_range": (100, 1000), "keep_aspect": True},
    ],
    ids=["imagenet", "aspect", "grey", "window"],
)
def test_pictures(settings, pictures):
    ours = eval_transforms((24, 32), **settings)
    theirs = plain(ours)
    for path in pictures:
        expected, found = ours({"image": str(path)})["image"], theirs({"image": str(path)})["image"]
        torch.testing.assert_close(found.as_tensor(), expected, atol=1e-6, rtol=0, msg=path.name)
        assert found.dtype == torch.float32


def test_a_dark_radiograph_is_the_negative_of_a_bright_one(pictures):
    theirs = plain(eval_transforms(32, mean=0.0, std=1.0, in_channels=1))
    bright, dark = (theirs({"image": str(path)})["image"] for path in pictures if path.suffix == ".dcm")
    torch.testing.assert_close(dark, 1 - bright, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "settings", [{}, {"keep_aspect": True}, {"intensity_range": (-160, 240)}, {"interpolation": "nearest"}]
)
def test_volumes(settings, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    random = np.random.default_rng(0)
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])[[1, 0, 2, 3]]  # rows lead to the front, columns to the left
    nibabel.save(
        nibabel.Nifti1Image(random.integers(-900, 900, (20, 9, 12)).astype(np.int16), affine), tmp_path / "a.nii.gz"
    )
    np.save(tmp_path / "b.npy", random.normal(size=(6, 7, 18)).astype(np.float32))
    for number in range(5):
        slice_ = random.integers(0, 2000, (12, 10)).astype(np.uint16)
        write_dicom(tmp_path / "series" / f"{number}.dcm", slice_, slice_number=number)
        write_dicom(tmp_path / "dark" / f"{number}.dcm", slice_, "", "MONOCHROME1", slice_number=number)
    ours = eval_transforms((16, 12, 8), mean=0.5, std=0.25, in_channels=1, spatial_dims=3, **settings)
    theirs = plain(ours)
    for path in tmp_path.iterdir():
        expected, found = ours({"image": str(path)})["image"], theirs({"image": str(path)})["image"]
        torch.testing.assert_close(found.as_tensor(), expected, atol=1e-6, rtol=0, msg=path.name)


def test_a_picture_that_only_another_reader_can_read_is_refused(pictures, monkeypatch):
    def broken(picture):
        raise ValueError("no such orientation")

    theirs = plain(eval_transforms(32, mean=0.5, std=0.5))
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", broken)  # and MONAI's own reader of pictures does not use it
    with pytest.raises(RuntimeError) as caught:
        theirs({"image": str(next(path for path in pictures if path.name == "turned.jpg"))})
    assert "cannot be read as the training has read its images" in str(caught.value.__cause__)


@pytest.mark.parametrize("kind", ["palette", "frames"])
def test_dicom_that_a_training_refuses_is_refused(kind, tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="pydicom is an extra: pip install monai_ept[dicom]")
    path = write_dicom(tmp_path / "a.dcm", np.zeros((8, 6), np.uint8))
    file = pydicom.dcmread(path)
    if kind == "palette":
        file.PhotometricInterpretation = "PALETTE COLOR"
    else:
        file.NumberOfFrames, file.PixelData = 3, bytes(3 * 8 * 6)
    file.save_as(path)
    ours = eval_transforms(32, mean=0.5, std=0.5)
    for transforms, says in ((ours, "PALETTE COLOR|frames"), (plain(ours), "as the training has read its images")):
        with pytest.raises(RuntimeError) as caught:
            transforms({"image": str(path)})
        assert re.search(says, str(caught.value.__cause__))


def test_what_has_no_plain_words_is_an_error():
    steps = eval_transforms(32, mean=0.5, std=0.5).transforms
    with pytest.raises(TypeError, match="Flipd is no transform that plain MONAI has words for"):
        plain_preprocessing(Compose([*steps, Flipd("image")]))
