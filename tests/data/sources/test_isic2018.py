# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from monai_ept.data import DataError, few_shot_split, load_source
from monai_ept.data.sources.isic2018 import ISIC2018_CLASSES
from tests.data.conftest import write_image


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def official(root: Path, lesions: str | None = "groupings") -> Path:
    """The official layout: two images of each lesion, three lesions a class for training, one image for testing."""
    header = ["image", *(name.upper() for name in ISIC2018_CLASSES)]
    number, groupings = 0, []
    for part, per_class in (("Training", 6), ("Validation", 1), ("Test", 1)):
        rows = []
        for label in range(7):
            for index in range(per_class):
                name = f"ISIC_{number:07d}"
                number += 1
                write_image(root / f"ISIC2018_Task3_{part}_Input" / f"{name}.jpg", number)
                rows.append([name, *(f"{float(label == n):.1f}" for n in range(7))])
                if part == "Training":
                    groupings.append([name, f"HAM_{label}_{index // 2}", "histopathology"])
        write_csv(root / f"ISIC2018_Task3_{part}_GroundTruth" / f"ISIC2018_Task3_{part}_GroundTruth.csv", header, rows)
    if lesions == "groupings":
        name = "ISIC2018_Task3_Training_LesionGroupings.csv"
        write_csv(root / name, ["image", "lesion_id", "diagnosis_confirm_type"], groupings)
    elif lesions == "metadata":
        rows = [[lesion, image, "nv", "histo"] for image, lesion, _ in groupings]
        write_csv(root / "HAM10000_metadata.csv", ["lesion_id", "image_id", "dx", "dx_type"], rows)
    return root


@pytest.mark.parametrize("lesions", ["groupings", "metadata"])
def test_official_layout(tmp_path: Path, lesions: str) -> None:
    data = load_source("isic2018", official(tmp_path, lesions))
    assert len(data) == 7 * 8 and data.class_names == ISIC2018_CLASSES
    assert [len(data.official(split)) for split in ("train", "val", "test")] == [42, 7, 7]
    assert len({record["group"] for record in data.official("train")}) == 21
    split = few_shot_split(data, 2, val="rest")
    assert len(split.train) == 28 and len(split.test) == 7 and len(split.val) == 7
    assert {record["split"] for record in split.val} == {"val"}


def test_official_layout_without_lesions_warns(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="cannot be kept together"):
        data = load_source("isic2018", official(tmp_path, None))
    assert len({record["group"] for record in data.records}) == len(data)


def test_training_part_alone_is_enough_but_a_table_needs_its_images(tmp_path: Path) -> None:
    official(tmp_path)
    for part in ("Validation", "Test"):
        (tmp_path / f"ISIC2018_Task3_{part}_GroundTruth" / f"ISIC2018_Task3_{part}_GroundTruth.csv").unlink()
    assert len(load_source("isic2018", tmp_path)) == 42
    (tmp_path / "ISIC2018_Task3_Training_Input").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="the folder ISIC2018_Task3_Training_Input is not"):
        load_source("isic2018", tmp_path)


def test_bad_rows_are_named(tmp_path: Path) -> None:
    table = official(tmp_path) / "ISIC2018_Task3_Training_GroundTruth" / "ISIC2018_Task3_Training_GroundTruth.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].replace("1.0", "0.0")
    lines[5] = "ISIC_9999999,1,0,0,0,0,0,0"
    lines[6] = "ISIC_0000005,1,0"
    table.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        load_source("isic2018", tmp_path)
    text = str(caught.value)
    assert "GroundTruth.csv:4: exactly one of the seven" in text
    assert "GroundTruth.csv:6: " in text and "ISIC_9999999.jpg' does not exist" in text
    assert "GroundTruth.csv:7: the line has 3 cells, the header has 8" in text
    assert len(caught.value.problems) == 3


def test_plain_layout(tmp_path: Path) -> None:
    rows = []
    for label, name in enumerate(ISIC2018_CLASSES):
        for index in range(3):
            write_image(tmp_path / "images" / f"ISIC_{label}{index}.jpg", label)
            is_test = index == 2
            rows.append([f"ISIC_{label}{index}", name, "test" if is_test else "train", "" if is_test else f"L{label}"])
    write_csv(tmp_path / "labels.csv", ["image", "dx", "split", "lesion_id"], rows)
    data = load_source("isic2018", tmp_path)
    assert data.class_names == ISIC2018_CLASSES and data.name == "isic2018"
    assert len(data.official("test")) == 7 and len({r["group"] for r in data.official("train")}) == 7
    assert all(record["group"] == record["id"] for record in data.official("test"))


def test_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither labels"):
        load_source("isic2018", tmp_path)


def test_real_images(real_data: Path) -> None:
    data = load_source("isic2018", real_data / "isic2018")
    assert data.counts() == {"mel": 171, "nv": 424, "bcc": 153, "akiec": 135, "bkl": 192, "df": 76, "vasc": 89}
    split = few_shot_split(data, 5, seed=1)
    assert len(split.test) == 500 and split.summary["train"]["groups"] == 35 and not split.summary["warnings"]
