# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_ept.data import RecordSet, few_shot_split, load_source
from monai_ept.data.near_copies import find_near_copies
from monai_ept.data.split import leaks

DERM = load_source("synthetic_derm", num_per_class=6, num_test_per_class=0, img_size=128, lazy=True)
# One view of each lesion: two of one are near copies indeed.
LESIONS = list({record["group"]: record["image"] for record in DERM.records}.values())


def drawn(number: int) -> Image.Image:
    return Image.fromarray(np.asarray(LESIONS[number]))


def again(quality: int) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file).convert("RGB")

    return change


def turned_freely(image: Image.Image) -> Image.Image:
    """As in LC25000: turned by some degrees, cut so that no black corner shows, and enlarged again."""
    angle, edge = 20, image.width
    inner = int(edge / (np.cos(np.radians(angle)) + np.sin(np.radians(angle))))
    start = (edge - inner) // 2
    return (
        image.rotate(angle, Image.Resampling.BICUBIC)
        .crop((start, start, start + inner, start + inner))
        .resize((edge, edge))
    )


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg-90": again(90),
    "jpeg-30": again(30),
    "half-as-large": lambda image: image.resize((64, 64)),
    "larger": lambda image: image.resize((200, 200)),
    "cut-at-the-edges": lambda image: image.crop((3, 3, 125, 125)),
    "brighter": lambda image: image.point(lambda value: min(255, int(1.2 * value + 5))),
    "grey": lambda image: image.convert("L"),
    "turned-by-20-degrees": turned_freely,
    **{turn.name.lower(): lambda image, turn=turn: image.transpose(turn) for turn in Image.Transpose},
}


@pytest.fixture(scope="module")
def pairs() -> dict[tuple[str, str], float]:
    """All near copies among drawn lesions, and what each change makes of two of them."""
    images = {f"{number}": drawn(number) for number in range(16)}
    for at, (name, change) in enumerate(CHANGES.items()):
        images.update({f"{number} {name}": change(drawn(number)) for number in (at, (at + 5) % 16)})
    records = [{"image": np.array(image), "id": name, "group": name, "label": 0} for name, image in images.items()]
    return {(pair.first, pair.second): pair.likeness for pair in find_near_copies(records)}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_the_same_image_is_found(pairs: dict[tuple[str, str], float], change: str) -> None:
    found = {first for first, second in pairs if second == f"{first} {change}"}
    assert len(found) == 2


def test_what_is_another_image_is_not(pairs: dict[tuple[str, str], float]) -> None:
    assert {(first, second) for first, second in pairs if first.split()[0] != second.split()[0]} == set()


def test_pairs_are_ordered_and_equal_images_are_1(pairs: dict[tuple[str, str], float]) -> None:
    assert list(pairs.values()) == sorted(pairs.values(), reverse=True)
    assert all(first < second for first, second in pairs)
    assert max(pairs.values()) == pytest.approx(1, abs=0.01)


def test_a_split_keeps_them_together_if_asked(tmp_path: Path) -> None:
    """A stand-in for LC25000: a few originals, each with its turned and mirrored copies."""
    for number in range(4):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        for turn in Image.Transpose:
            drawn(number).transpose(turn).save(folder / f"{number}_{turn.name}.jpg", quality=85)
    data = load_source("folder", tmp_path)
    split = few_shot_split(data, 1)
    original = {record["id"]: record["id"][2] for record in data.records}
    crossing = {original[record["id"]] for record in split.train} & {original[record["id"]] for record in split.test}
    assert crossing  # what is the same image to us is another file to the default
    together = few_shot_split(data, 1, near_copies="group")
    assert len(together.train) == 14 == len(together.test) and together.settings["near_copies"] == "group"
    assert leaks(together.train, together.val, together.test) == []
    assert {original[r["id"]] for r in together.train}.isdisjoint(original[r["id"]] for r in together.test)
    assert type(together).from_json(together.to_json(), data) == together


def test_few_images_and_volumes() -> None:
    assert find_near_copies([]) == []
    one = {"image": np.asarray(drawn(0)), "id": "a", "group": "a", "label": 0}
    assert find_near_copies([one]) == []
    flat = [{**one, "id": name, "image": np.full((9, 9), 7, np.uint8)} for name in "xyz"]
    assert find_near_copies(flat) == []  # nothing is in them that could be alike
    volumes = RecordSet(
        "v",
        [{**one, "image": np.zeros((4, 4, 4)), "label": n % 2, "id": f"{n}"} for n in range(4)],
        ("a", "b"),
        spatial_dims=3,
    )
    with pytest.raises(ValueError, match="2-D images only"):
        few_shot_split(volumes, 1, near_copies="group")


def test_real_histology_lights_up(real_data: Path) -> None:
    """LC25000 was made of 750 images by turning and mirroring."""
    records = load_source("folder", real_data / "colon_lc25000").records[:120]
    pairs = find_near_copies(records)
    assert len(pairs) >= 10
