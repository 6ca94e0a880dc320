# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_ept.data import RecordSet


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; they may not be redistributed, so tests that need them are skipped elsewhere."""
    folder = os.environ.get("MONAI_EPT_DATA")
    if not folder:
        pytest.skip("MONAI_EPT_DATA does not name a folder with the real data sets")
    return Path(folder)


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (12, 16), mode: str = "RGB") -> Path:
    """Write a small image of noise; rows, columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def toy(
    classes: int = 3, groups: int = 6, images: int = 2, official: bool = False, task: str = "multiclass"
) -> RecordSet:
    """Records without files: ``groups`` groups a class, ``images`` images a group."""
    records = []
    for label in range(classes):
        for group in range(groups):
            for image in range(images):
                identity = f"c{label}_g{group:02d}_i{image}"
                value = [int(label == n or (group % 3 == 0 and n == 0)) for n in range(classes)]
                record = {
                    "image": f"{identity}.png",
                    "label": value if task == "multilabel" else label,
                    "group": identity[:-3],
                    "id": identity,
                }
                if official:
                    record["split"] = "test" if group % 3 == 2 else "train"
                records.append(record)
    return RecordSet("toy", records, tuple("abcdefghij"[:classes]), task)  # type: ignore[arg-type]
