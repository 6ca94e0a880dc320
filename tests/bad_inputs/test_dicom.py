# SPDX-License-Identifier: Apache-2.0

"""DICOM files that are no images, or not such as were asked for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from monai_ept.data.read_image import read_image
from tests.bad_inputs.case import BadInput, parameters, refuse
from tests.bad_inputs.images import load
from tests.dicom_files import write_dicom

PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)


def changed(change, pixels: np.ndarray = PIXELS, **options):
    """A good file of which pydicom changes what it says."""
    import pydicom

    def write(path: Path) -> None:
        write_dicom(path, pixels, **options)
        file = pydicom.dcmread(path)
        change(file)
        file.save_as(path)

    return write


def frames(number: int):
    def change(file) -> None:
        file.NumberOfFrames = number
        file.PixelData = PIXELS.tobytes() * number

    return changed(change)


def shortened(path: Path) -> None:
    write_dicom(path, PIXELS)
    path.write_bytes(path.read_bytes()[:-40])


def both(name: str, file: str, says: list[str], make, dims: int = 2) -> list[BadInput]:
    """As it is found before a training, and as it is read for a prediction."""

    def folder(at: Path) -> None:
        for number, good in enumerate(("a/1.dcm", "a/2.dcm", "b/3.dcm")):
            if dims == 3:
                for place in (1, 2):
                    write_dicom(at / "data" / good[:-4] / f"{place}.dcm", PIXELS + number + place, slice_number=place)
            else:
                write_dicom(at / "data" / good, PIXELS + number)
        make(at / "data/b" / file)

    return [
        BadInput(f"load-{name}", says, folder, call=load("dicom", spatial_dims=dims)),
        BadInput(f"read-{name}", says, folder, call=lambda at: read_image(at / "data/b" / file, dims)),
    ]


def series(last):
    """Two slices, of which the second is bad."""

    def write(path: Path) -> None:
        write_dicom(path / "1.dcm", PIXELS, slice_number=1)
        last(path / "2.dcm")

    return write


CASES = [
    *both("two-frames", "x.dcm", ["x.dcm", "holds 2 frames", "spatial_dims=3 reads volumes"], frames(2)),
    *both("three-frames", "x.dcm", ["x.dcm", "holds 3 frames"], frames(3)),
    *both("ten-frames", "x.dcm", ["x.dcm", "holds 10 frames"], frames(10)),
    *both("words", "x.dcm", ["x.dcm", "cannot be read"], lambda path: path.write_text("no image")),
    *both("only-the-mark", "x.dcm", ["x.dcm", "cannot be read"], lambda path: path.write_bytes(bytes(128) + b"DICM")),
    *both("cut", "x.dcm", ["x.dcm", "cannot be read"], shortened),
    *both("no-pixels", "x.dcm", ["x.dcm", "cannot be read"], changed(lambda file: delattr(file, "PixelData"))),
    *both("no-rows", "x.dcm", ["x.dcm", "cannot be read"], changed(lambda file: delattr(file, "Rows"))),
    *both("rows-of-0", "x.dcm", ["x.dcm"], changed(lambda file: setattr(file, "Rows", 0))),
    *both(
        "rows-that-are-not-there",
        "x.dcm",
        ["x.dcm", "cannot be read"],
        changed(lambda file: setattr(file, "Rows", 60_000)),
    ),
    *both(
        "palette",
        "x.dcm",
        ["x.dcm", "PALETTE COLOR", "convert it to RGB"],
        lambda path: write_dicom(path, PIXELS, interpretation="PALETTE COLOR"),
    ),
    *both("slice-that-is-a-pipe", "s", ["2.dcm", "is a named pipe"], series(os.mkfifo), 3),
    *both(
        "slice-of-words",
        "s",
        ["2.dcm", "named like a DICOM slice and is none"],
        series(lambda path: path.write_text("no image")),
        3,
    ),
    *both(
        "slice-without-number",
        "s",
        ["cannot be read", "InstanceNumber"],
        series(changed(lambda file: delattr(file, "InstanceNumber"), slice_number=2)),
        3,
    ),
    *both(
        "slice-of-another-size",
        "s",
        ["cannot be read"],
        series(lambda path: write_dicom(path, PIXELS[:4], slice_number=2)),
        3,
    ),
    BadInput(
        "pipe",
        ["x.dcm", "is a named pipe"],
        lambda at: (both("", "", [], lambda _: None)[0].make(at), os.mkfifo(at / "data/b/x.dcm"))[0],
        call=load("dicom"),
    ),
    BadInput(
        "one-slice-as-volume",
        ["x.dcm", "not 3-D"],
        lambda at: (frames(9)(at / "data/a/1.dcm"), write_dicom(at / "data/b/x.dcm", PIXELS))[0],
        call=load("dicom", spatial_dims=3),
    ),
    BadInput("one-class", ["only one class"], lambda at: write_dicom(at / "data/a/1.dcm", PIXELS), call=load("dicom")),
    BadInput(
        "no-dicom",
        ["class 'a' has no image"],
        lambda at: (write_dicom(at / "data/b/1.dcm", PIXELS), (at / "data/a").mkdir())[0],
        call=load("dicom"),
    ),
    BadInput(
        "checked-frames",
        ["holds 10 frames"],
        lambda at: (write_dicom(at / "data/a/1.dcm", PIXELS), frames(10)(at / "data/b/x.dcm"))[0],
        command=["check", "data", "--source", "dicom"],
    ),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
