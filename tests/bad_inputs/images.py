# SPDX-License-Identifier: Apache-2.0

"""Writes small folders of images, good but for what a case wants to be bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_ept.data import load_source
from monai_ept.data.read_image import read_image
from tests.bad_inputs.case import BadInput
from tests.data.conftest import write_image

__all__ = ["good_folder", "load", "load_and_read", "picture"]


def picture(path: Path, seed: int = 0, **options: Any) -> Path:
    """A good picture, in a folder that is made as needed."""
    return write_image(path, seed, **options)


def good_folder(folder: Path, name: str = "data") -> Path:
    """Two classes of two pictures each, all different."""
    for seed, file in enumerate(("benign/a.png", "benign/b.png", "malignant/c.png", "malignant/d.png")):
        picture(folder / name / file, seed)
    return folder / name


def load(source: str, where: str = "data", **options: Any) -> Callable[[Path], Any]:
    """The call that reads a folder."""
    return lambda folder: load_source(source, folder / where, **options)


def load_and_read(
    name: str, file: str, says: Sequence[str], make: Callable[[Path], Any], *, source: str = "folder", **options: Any
) -> list[BadInput]:
    """A bad file in a good folder: as it is found before a training, and as it is read for a prediction."""

    def beside_good_ones(folder: Path) -> None:
        if source == "folder":
            good_folder(folder)
        (folder / "data" / "benign").mkdir(parents=True, exist_ok=True)
        make(folder / "data" / "benign" / file)

    dims = options.get("spatial_dims", 2)
    return [
        BadInput(f"load-{name}", [file, *says], beside_good_ones, call=load(source, **options)),
        BadInput(
            f"read-{name}", [file, *says], beside_good_ones, call=lambda at: read_image(at / "data/benign" / file, dims)
        ),
    ]
