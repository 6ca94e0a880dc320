# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_ept.data.read_image import check_file, file_kind, read_image
from tests.data.conftest import write_image
from tests.dicom_files import write_dicom


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_rows_come_first(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:4] = 255
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert tuple(image.shape) == (8, 24, 3) and str(image.dtype) == "torch.uint8"
    assert image[0, -1, 0] > 200 and image[-1, 0, 0] < 50
    assert image.meta["filename_or_obj"] == str(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    "mode, suffix, channels",
    [("1", "png", 0), ("L", "png", 0), ("LA", "png", 0), ("P", "png", 3), ("RGBA", "png", 3), ("CMYK", "jpg", 3)],
)
def test_modes(tmp_path: Path, mode: str, suffix: str, channels: int) -> None:
    path = write_image(tmp_path / f"a.{suffix}", mode=mode)
    expected = Image.open(path).convert("RGB" if channels else "L")
    image = read_image(path)
    assert image.shape == ((12, 16, 3) if channels else (12, 16))
    assert np.array_equal(image.numpy(), np.asarray(expected))


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    pixels = np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").numpy(), pixels)


def test_camera_rotation_is_undone(tmp_path: Path) -> None:
    image = Image.new("RGB", (10, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # "turn me by 90 degrees"
    image.save(tmp_path / "a.jpg", exif=exif)
    assert tuple(read_image(tmp_path / "a.jpg").shape) == (10, 20, 3)


def damaged(folder: Path) -> list[Path]:
    """Files that are all broken in some way."""
    rng = np.random.RandomState(0)
    big = rng.randint(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("cut.jpg", "cut.png", "cut.tif"):
        Image.fromarray(big).save(folder / name)
    nibabel.save(nibabel.Nifti1Image(rng.rand(16, 16, 16).astype(np.float32), np.eye(4)), folder / "cut.nii")
    nibabel.save(nibabel.Nifti1Image(rng.rand(16, 16, 16).astype(np.float32), np.eye(4)), folder / "cut.nii.gz")
    np.save(folder / "cut.npy", big)
    for path in folder.glob("cut.*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (folder / "empty.png").touch()
    (folder / "words.jpg").write_text("no image")
    (folder / "words.nii.gz").write_text("no volume")
    return sorted(folder.iterdir())


def test_damage_is_found_without_decoding_everything(tmp_path: Path) -> None:
    paths = damaged(tmp_path)
    assert len(paths) == 9
    for path in paths:
        for full in (False, True):
            problem = check_file(path, full=full)
            assert problem is not None and ("cannot be read" in problem or "zero bytes" in problem), (path, problem)
    assert check_file(tmp_path / "nothing.png") == "does not exist"


def test_whole_files_pass(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"a.{suffix}") for suffix in ("jpg", "png", "tif", "bmp")]
    volume = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    for name in ("v.nii", "v.nii.gz"):
        nibabel.save(volume, tmp_path / name)
        paths.append(tmp_path / name)
    np.save(tmp_path / "a.npy", np.zeros((4, 5)))
    padded = write_image(tmp_path / "padded.jpg")
    padded.write_bytes(padded.read_bytes() + b"\0" * 500)  # some devices pad their files
    for path in [*paths, tmp_path / "a.npy", padded]:
        assert check_file(path) is None and check_file(path, full=True) is None, path


def test_kinds() -> None:
    kinds = {
        "a.PNG": "image",
        "a.nii.gz": "nifti",
        "a.NII": "nifti",
        "a.dcm": "dicom",
        "a.npy": "numpy",
        "a.x": "image",
    }
    assert {name: file_kind(name) for name in kinds} == kinds


def test_a_slice_without_a_place_is_refused_whatever_other_threads_do_with_warnings(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    for place in (1, 2, 3):
        write_dicom(tmp_path / "s" / f"{place}.dcm", np.full((6, 8), place, dtype=np.uint8), slice_number=place)
    last = pydicom.dcmread(tmp_path / "s" / "3.dcm")
    del last.InstanceNumber
    last.save_as(tmp_path / "s" / "3.dcm")

    def said(_: int) -> str:
        with pytest.raises(ValueError) as caught:
            read_image(tmp_path / "s", 3)
        return str(caught.value)

    with ThreadPoolExecutor(8) as pool:
        (sentence,) = set(pool.map(said, range(64)))
    assert "cannot be read" in sentence and "3.dcm" in sentence and "InstanceNumber" in sentence
