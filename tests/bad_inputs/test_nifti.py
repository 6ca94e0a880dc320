# SPDX-License-Identifier: Apache-2.0

"""NIfTI files that are no volumes, or hold what no network should see."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_ept.data.read_image import read_image
from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import load

WHOLE = np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(np.int16)


def volume(path: Path, voxels: np.ndarray = WHOLE, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def with_value(value: float) -> np.ndarray:
    voxels = WHOLE.astype(np.float32)
    voxels[1, 2, 3] = value
    return voxels


def patched(at: int, content: bytes):
    """A good file of which some bytes are others: the header is the first 348."""

    def write(path: Path) -> None:
        volume(path.with_name("whole.nii"))
        whole = bytearray(path.with_name("whole.nii").read_bytes())
        path.with_name("whole.nii").unlink()
        whole[at : at + len(content)] = content
        path.write_bytes(gzip.compress(bytes(whole)) if path.suffix == ".gz" else bytes(whole))

    return write


def shortened(path: Path) -> None:
    volume(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def both(name: str, file: str, says: list[str], make, dims: int = 3, level: str = "quick") -> list[BadInput]:
    """As it is found before a training, and as it is read for a prediction."""

    def folder(at: Path) -> None:
        for seed, good in enumerate(("a/1.nii.gz", "a/2.nii.gz", "b/3.nii.gz")):
            volume(at / "data" / good, WHOLE[:, :, : 8 if dims == 3 else 1] + seed)
        make(at / "data/b" / file)

    options = {"spatial_dims": dims, "check_images": level}
    return [
        BadInput(f"load-{name}", [file, *says], folder, call=load("nifti", **options)),
        BadInput(f"read-{name}", [file, *says], folder, call=lambda at: read_image(at / "data/b" / file, dims)),
    ]


NAN = np.array([np.nan], "<f4").tobytes()
CASES = [
    *both("nan", "x.nii.gz", ["not finite", "replace or remove"], lambda path: volume(path, with_value(np.nan))),
    *both("infinite", "x.nii", ["not finite"], lambda path: volume(path, with_value(-np.inf))),
    *both("nan-affine", "x.nii.gz", ["affine", "not finite"], patched(280, NAN)),
    *both("nan-affine-header", "x.nii", ["affine", "not finite"], patched(280, NAN)),
    *both("dimension-of-0", "x.nii", ["(6, 0, 8)", "a dimension is 0"], patched(44, b"\0\0")),
    *both("dimension-of-0-packed", "x.nii.gz", ["a dimension is 0"], patched(44, b"\0\0")),
    *both("negative-dimension", "x.nii", ["cannot be read"], patched(44, b"\xff\xff")),
    *both("no-dimensions", "x.nii", ["cannot be read"], patched(40, b"\0\0\0\0")),
    *both("promises-terabytes", "x.nii", ["cut off", "bytes of voxels"], patched(42, b"\xff\x7f\xff\x7f\xff\x7f")),
    *both(
        "promises-terabytes-packed",
        "x.nii.gz",
        ["cut off", "bytes of voxels"],
        patched(42, b"\xff\x7f\xff\x7f\xff\x7f"),
    ),
    *both("unknown-type", "x.nii", ["cannot be read"], patched(70, b"\x63\x00")),
    *both(
        "four-axes",
        "x.nii.gz",
        ["(6, 7, 8, 9)", "not 3-D"],
        lambda path: volume(path, np.zeros((6, 7, 8, 9), np.int16)),
    ),
    *both("two-axes", "x.nii.gz", ["(6, 7)", "not 3-D"], lambda path: volume(path, np.zeros((6, 7), np.int16))),
    *both("five-axes", "x.nii.gz", ["not 3-D"], lambda path: volume(path, np.zeros((6, 7, 8, 2, 2), np.int16))),
    *both("volume-as-image", "x.nii.gz", ["not 2-D", "spatial_dims=3 reads volumes"], volume, 2),
    *both("complex", "x.nii", ["complex64 instead of numbers"], lambda path: volume(path, WHOLE.astype(np.complex64))),
    *both("cut", "x.nii", ["cut off"], shortened),
    *both("cut-packed", "x.nii.gz", ["cannot be read"], shortened),
    *both("words", "x.nii", ["cannot be read"], lambda path: path.write_text("no volume")),
    *both("words-packed", "x.nii.gz", ["cannot be read"], lambda path: path.write_text("no volume")),
    *both("other-magic", "x.nii", ["cannot be read"], patched(344, b"\0\0\0\0")),
    both(
        "flipped-bit",
        "x.nii.gz",
        ["cannot be read", "CRC"],
        lambda path: (volume(path, np.zeros((9, 9, 9), np.int16)), flip(path))[0],
        level="full",
    )[0],
    BadInput(
        "no-volumes",
        ["class 'a' has no image"],
        lambda at: ((at / "data/a").mkdir(parents=True), volume(at / "data/b/1.nii"))[0],
        call=load("nifti"),
    ),
    BadInput("one-class", ["only one class"], lambda at: volume(at / "data/a/1.nii"), call=load("nifti")),
    BadInput(
        "checked-four-axes",
        ["x.nii", "not 3-D"],
        lambda at: (volume(at / "data/a/1.nii"), volume(at / "data/b/x.nii", np.zeros((6, 7, 8, 9), np.int16)))[0],
        command=["check", "data", "--source", "nifti"],
    ),
]


def flip(path: Path) -> None:
    """Another checksum at the end: the voxels are others than those that were packed."""
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
