# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from monai_ept.data.image_facts import ImageFacts, describe_images, facts_of
from monai_ept.data.records import Record
from tests.data.conftest import write_image


def records(*images) -> list[Record]:
    return [{"image": image, "label": 0, "id": str(n), "group": str(n)} for n, image in enumerate(images)]


def test_headers_say_what_decoding_says(tmp_path: Path) -> None:
    nibabel_image = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 50
    colour = write_image(tmp_path / "a.jpg", size=(12, 16))
    grey = write_image(tmp_path / "b.png", size=(10, 16), mode="L")
    palette = write_image(tmp_path / "c.png", size=(10, 16), mode="P")
    deep = tmp_path / "d.png"
    Image.fromarray(np.array([[0, 4095]], np.uint16)).save(deep)
    images = records(colour, grey, palette, deep, np.zeros((3, 7), np.float32))
    headers, decoded = facts_of(images), facts_of(images, decode=True)
    assert [one[:4] for one in headers] == [one[:4] for one in decoded]
    assert decoded[3] == ImageFacts("3", (1, 2), 1, "int32", (0.0, 4095.0))
    (volume,) = facts_of(records(nibabel_image), 3, decode=True)
    assert volume == ImageFacts("0", (4, 5, 6), 1, "int16", (-50.0, 69.0))


def test_an_image_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    assert facts_of(records(tmp_path / "a.png", tmp_path / "gone.png")) == []
    assert describe_images([]) == []


def test_lines() -> None:
    facts = [
        ImageFacts("a", (40, 48), 3, "uint8", (0, 250)),
        ImageFacts("b", (60, 48), 3, "uint8", (7, 255)),
        ImageFacts("c", (44, 50), 1, "int16", (-1024, 3071)),
        ImageFacts("d", (44, 50), 1, "int16", (5, 5)),
    ]
    assert describe_images(facts) == [
        ("size", "40 × 48 to 60 × 48, median 44 × 49"),
        ("channels", "1 in 2 images, 3 in 2 images"),
        ("values", "-1,024 to 3,071 in 2 images (int16)"),
        ("values", "0 to 255 in 2 images (uint8)"),
        ("blank", "1 images have one value everywhere, such as d"),
    ]
