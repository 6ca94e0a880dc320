# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest

from monai_ept.data import DataError, load_source
from tests.data.conftest import write_image


def make(root: Path, text: str, images: str = "abcd") -> Path:
    for n, name in enumerate(images):
        write_image(root / f"{name}.png", n)
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return root


def problems(root: Path, **options) -> list[str]:
    with pytest.raises(DataError) as caught:
        load_source("csv", root, **options)
    return caught.value.problems


def test_names_groups_and_splits(tmp_path: Path) -> None:
    text = "image,label,group,split\na.png,cat,p1,train\nb,dog,p2,Training\nc.png,cat,,test\nd.png,dog,p2,valid\n"
    data = load_source("csv", make(tmp_path, text))
    assert data.class_names == ("cat", "dog") and data.task == "multiclass"
    assert [r["label"] for r in data.records] == [0, 1, 0, 1]
    assert [r["group"] for r in data.records] == ["p1", "p2", "c.png", "p2"]
    assert [r["split"] for r in data.records] == ["train", "train", "test", "val"]
    assert data.records[1]["image"].endswith("b.png")  # completed


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_numbers_and_delimiters(tmp_path: Path, delimiter: str) -> None:
    text = "\ufefffile,y\na.png,0\nb.png,2.0\nc.png,1\nd.png,1\n".replace(",", delimiter)
    data = load_source("csv", make(tmp_path, text), image="file", label="y")
    assert [r["label"] for r in data.records] == [0, 2, 1, 1] and data.class_names == ("0", "1", "2")


def test_several_columns(tmp_path: Path) -> None:
    root = make(tmp_path, "image,x,y\na.png,1,0\nb.png,0,1\nc.png,1,1\nd.png,0,0\n")
    data = load_source("csv", root, label=["x", "y"])
    assert data.task == "multilabel" and [r["label"] for r in data.records] == [[1, 0], [0, 1], [1, 1], [0, 0]]
    found = problems(root, label=["x", "y"], task="multiclass")
    assert found == [
        "labels.csv:4: 2 of the columns x, y are 1, exactly one must be",
        "labels.csv:5: 0 of the columns x, y are 1, exactly one must be",
    ]


def test_everything_wrong_at_once(tmp_path: Path) -> None:
    root = make(
        tmp_path,
        "image,label,split\na.png,cat,train\nb.png,dgo,train\n../c.png,dog,train\nd.png,dog,later\n"
        "a.png,dog,train\nx.png,cat,train\nc.png,,train\n,cat,train\nc.png\n",
    )
    write_image(tmp_path.parent / "c.png")
    found = problems(root, class_names=["cat", "dog", "Cat", "bird"])
    expected = [
        "labels.csv:10: the line has 1 cells, the header has 3",
        "labels.csv:3: unknown class 'dgo'; did you mean 'dog'?",
        "labels.csv:5: split 'later' is none of train, val, test",
        "labels.csv:8: column 'label' is empty",
        "labels.csv:9: column 'image' is empty",
        "class names 'cat' and 'Cat' differ in case only",
        "labels.csv:6: id 'a.png' is already used by labels.csv:2",
        "class 'Cat' has no image",
        "class 'bird' has no image",
    ]
    assert [line for line in expected if line not in found] == []
    rest = [line for line in found if line not in expected]
    assert len(rest) == 2
    assert rest[0].startswith("labels.csv:4: ") and "is outside the data folder" in rest[0]
    assert rest[1].startswith("labels.csv:7: ") and "x.png' does not exist" in rest[1]


def test_numbers_out_of_range_or_no_numbers(tmp_path: Path) -> None:
    root = make(tmp_path, "image,label\na.png,0\nb.png,1\nc.png,1000000000\nd.png,many\n")
    assert problems(root) == [
        "labels.csv:5: label 'many' is not a whole number",
        "labels.csv:4: label 1000000000 is out of range, there are 2 classes (0 to 1)",
    ]
    root = make(tmp_path, "image,label\na.png,0\nb.png,2\nc.png,-1\nd.png,1.5\n")
    assert problems(root, class_names=["x", "y"]) == [
        "labels.csv:5: label '1.5' is not a whole number",
        "labels.csv:3: label 2 is out of range, there are 2 classes (0 to 1)",
        "labels.csv:4: label -1 is out of range, there are 2 classes (0 to 1)",
        "class 'y' has no image",
    ]


def test_wrong_multilabel_values(tmp_path: Path) -> None:
    root = make(tmp_path, "image,x,y\na.png,1,0\nb.png,2,1\nc.png,,1\nd.png,0,1\n")
    assert problems(root, label=["x", "y"]) == [
        "labels.csv:3: label '2' in column 'x' is neither 0 nor 1",
        "labels.csv:4: label '' in column 'x' is neither 0 nor 1",
    ]


def test_empty_split_means_train(tmp_path: Path) -> None:
    data = load_source("csv", make(tmp_path, "image,label,split\na.png,x,\nb.png,y,test\nc.png,y,\n"))
    assert [record["split"] for record in data.records] == ["train", "test", "train"]


def test_two_spellings_of_a_class(tmp_path: Path) -> None:
    root = make(tmp_path, "image,label\na.png,Cat\nb.png,cat\n")
    assert problems(root) == ["class names 'Cat' and 'cat' differ in case only"]


def test_missing_columns_file_and_text(tmp_path: Path) -> None:
    root = make(tmp_path, "file,label\na.png,cat\n")
    assert problems(root, group="patient") == [
        "there is no column 'image'; the columns are 'file', 'label'",
        "there is no column 'patient'; the columns are 'file', 'label'",
    ]
    assert problems(root, csv="none.csv") == ["the file does not exist"]
    (root / "labels.csv").write_bytes(b"image,label\n\xff\xfe")
    assert "not UTF-8" in problems(root)[0]
    (root / "labels.csv").write_text("")
    assert problems(root) == ["the file has no header line"]
    (root / "labels.csv").write_text("image,label\n")
    assert problems(root) == ["there is not a single record"]


@pytest.mark.parametrize("given", [{}, {"image_dir": "pictures"}])
def test_images_in_a_folder_that_was_not_named(tmp_path: Path, given: dict) -> None:
    for n, name in enumerate("abcd"):
        write_image(tmp_path / "img" / f"{name}.png", n)
    (tmp_path / "labels.csv").write_text("image,label\na,x\nb.png,y\nc.png,x\nd.png,y\nlost.png,y\n")
    (said,) = problems(tmp_path, **given)
    where = str(tmp_path / given.get("image_dir", ""))
    assert said == f"5 of its 5 images are not in {where!r}, found under img/: image_dir='img'"
    (said,) = problems(tmp_path, image_dir="img")  # the right one: what is not in it is a problem of its own
    assert said.startswith("labels.csv:6: ") and "does not exist" in said
    make(tmp_path, "image,label\na.png,x\nb.png,y\nc.png,x\nd.png,y\n")
    (tmp_path / "img").rename(tmp_path / "other")
    (said,) = problems(tmp_path, image_dir="img")
    assert said.endswith("found under ./: image_dir=''")
