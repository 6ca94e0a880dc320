# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_ept.data import DataError, RecordSet, validate_records
from monai_ept.data.check_records import inside
from tests.data.conftest import toy, write_image


def problems(data: RecordSet, **options) -> list[str]:
    with pytest.raises(DataError) as caught:
        validate_records(data, **options)
    return caught.value.problems


def test_everything_wrong_is_found_in_one_pass(tmp_path: Path) -> None:
    good = write_image(tmp_path / "good.png")
    cut = write_image(tmp_path / "cut.jpg", size=(64, 64))
    cut.write_bytes(cut.read_bytes()[:-900])
    (tmp_path / "zero.png").touch()
    outside = write_image(tmp_path.parent / "outside.png")
    for name in "efij":
        write_image(tmp_path / f"{name}.png")
    rows: list[tuple] = [
        (good, 0, "first"),
        (tmp_path / "missing.png", 0, "b"),
        (cut, 0, "c"),
        (tmp_path / "zero.png", 0, "d"),
        (tmp_path / "e.png", 7, "e"),
        (tmp_path / "f.png", "one", "f"),
        (good, 0, "first"),
        (tmp_path / ".." / outside.name, 0, "h"),
        (tmp_path / "i.png", 1.0, "i"),
        (tmp_path / "j.png", True, "j"),
        (good, 0, 11),
        (tmp_path / "." / "good.png", 0, "l"),
    ]
    records = [{"image": str(p), "label": label, "group": "g", "id": i} for p, label, i in rows] + [{"id": "k"}]
    data = RecordSet("bad", records, ("a", "A", "empty"))
    found = problems(data, root=tmp_path, where=[f"list.csv:{n}" for n in range(2, 15)])
    text = "\n".join(found)
    for expected in (
        "class names 'a' and 'A' differ in case only",
        "list.csv:6: label 7 is out of range, there are 3 classes (0 to 2)",
        "list.csv:7: label 'one' is not a whole number",
        "list.csv:8: id 'first' is already used by list.csv:2",
        "list.csv:9: ",
        "is outside the data folder",
        "list.csv:10: label 1.0 is not a whole number",
        "list.csv:11: label True is not a whole number",
        "list.csv:12: id must be text",
        "good.png' is already the image of id 'first'",
        "list.csv:14: the record has no 'image' and no 'label' and no 'group'",
        "class 'empty' has no image",
        "missing.png' does not exist",
        "cut.jpg' cannot be read",
        "zero.png' is empty (zero bytes)",
    ):
        assert expected in text, expected
    assert len(found) == 15  # those above (one line has two parts) and class 'A', which is empty too


@pytest.mark.parametrize(
    "label, message",
    [
        ([1, 0], "2 labels, but there are 3 classes"),
        ([1, 0, 2], "label value 2 is neither 0 nor 1"),
        ([1, 0, "x"], "label value 'x' is neither 0 nor 1"),
        (1, "label 1 is not a list of 0/1"),
        ("101", "label '101' is not a list of 0/1"),
    ],
)
def test_multilabel(label: object, message: str) -> None:
    data = toy(task="multilabel")
    data.records[0]["label"] = label
    assert problems(data, check_images="none") == [f"record 0 (id 'c0_g00_i0'): {message}"]


def test_arrays() -> None:
    def one(image: object) -> RecordSet:
        return RecordSet("x", [{"image": image, "label": 0, "group": "g", "id": "i"}], ("a",))

    assert validate_records(one(np.zeros((4, 4), np.uint8)))
    for image, message in (
        (np.zeros((0, 4)), "empty"),
        (np.zeros(4), "fewer than two dimensions"),
        (np.full((4, 4), np.nan), "not finite"),
        (None, "NoneType"),
    ):
        assert message in problems(one(image))[0]


def test_no_records_and_levels() -> None:
    assert problems(RecordSet("x", [], ("a",))) == ["there is not a single record"]
    assert validate_records(toy(), check_images="none")
    assert len(problems(toy())) == 36  # the images do not exist
    with pytest.raises(ValueError, match="sometimes"):
        validate_records(toy(), check_images="sometimes")
    assert problems(toy(), check_images="none", problems=["seen before"]) == ["seen before"]
    lonely = RecordSet("x", toy().records, ("a", "b", "c", "d"))
    assert problems(lonely, check_images="none") == ["class 'd' has no image"]
    assert validate_records(lonely, check_images="none", allow_empty_classes=True)


def test_full_check_finds_damage_in_the_middle(tmp_path: Path) -> None:
    nibabel.save(
        nibabel.Nifti1Image(np.arange(4096, dtype=np.int16).reshape(16, 16, 16), np.eye(4)), tmp_path / "a.nii.gz"
    )
    write_image(tmp_path / "a.png", size=(64, 64))
    for name, dims, levels in (("a.nii.gz", 3, ["full"]), ("a.png", 2, ["full", "quick"])):
        path = tmp_path / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
        data = RecordSet("x", [{"image": str(path), "label": 0, "group": "g", "id": "i"}], ("a",), spatial_dims=dims)
        for level in levels:  # a PNG carries checksums, which cost next to nothing
            assert "cannot be read" in problems(data, check_images=level)[0]
        if "quick" not in levels:
            assert validate_records(data)  # header and end are fine


def test_inside() -> None:
    assert inside("data/a/../b.png", "data") and inside("data", "data")
    assert not inside("data/../b.png", "data") and not inside("database/b.png", "data")
