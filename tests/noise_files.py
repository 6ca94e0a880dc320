# SPDX-License-Identifier: Apache-2.0

"""Image files of noise, no two alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["noise_files"]


def noise_files(folder: Path, number: int = 12, size: int = 40) -> Path:
    """
    Write images into two folders, as classes have them.

    Args:
        folder: where to.
        number: of images, half of them in each.
        size: of each side.
    """
    rng = np.random.default_rng(0)
    for index in range(number):
        place = folder / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(place / f"i{index}.png")
    return folder
