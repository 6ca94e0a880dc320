# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_ept.data import DataError, load_source
from monai_ept.data.sources.isic2018 import ISIC2018_CLASSES
from monai_ept.data.sources.recognise import recognise
from tests.data.conftest import write_image
from tests.data.sources.test_isic2018 import official


def images(folder: Path, names: str = "abcdef", suffix: str = ".jpg") -> None:
    for n, name in enumerate(names):
        write_image(folder / f"{name}{suffix}", n)


def what(folder: Path) -> tuple[str, dict]:
    """What a folder is recognised as, once that source has read it."""
    found = recognise(folder)
    assert len(load_source(found.source, found.dataset_dir, **found.options)) > 3
    return found.source, found.options


def test_class_folders_also_one_level_down(tmp_path: Path) -> None:
    images(tmp_path / "set-1.0/benign")
    images(tmp_path / "set-1.0/malignant", "ghijkl")
    assert what(tmp_path) == ("folder", {})
    assert recognise(tmp_path).dataset_dir == tmp_path / "set-1.0"
    (tmp_path / "set-1.0/readme.csv").write_text("a,b\n1,2\n")  # a table of something else
    assert what(tmp_path / "set-1.0") == ("folder", {})


def test_a_table_its_columns_and_the_folder_of_its_images(tmp_path: Path) -> None:
    images(tmp_path / "img")
    rows = "".join(f"{n},{name},{['no', 'yes'][n % 2]},p{n // 2}\n" for n, name in enumerate("abcdef"))
    table = tmp_path / "all.csv"
    table.write_text("age,file,Diagnosis,patient_id\n" + rows)
    options = {"csv": "all.csv", "image": "file", "image_dir": "img", "label": "Diagnosis", "group": "patient_id"}
    assert what(tmp_path) == ("csv", options)
    assert recognise(table) == recognise(tmp_path)


@pytest.mark.parametrize(("marks", "more"), [("01", {}), ("10", {"task": "multiclass"})])
def test_a_table_with_a_column_for_each_label(tmp_path: Path, marks: str, more: dict) -> None:
    images(tmp_path)
    rows = "".join(f"{name}.jpg,{n % 2},{marks[n % 2]},{n}\n" for n, name in enumerate("abcdef"))
    (tmp_path / "labels.csv").write_text("image,x,y,age\n" + rows)
    assert what(tmp_path) == ("csv", {"label": ["x", "y"], **more})


def test_isic_by_its_own_files(tmp_path: Path) -> None:
    assert what(official(tmp_path / "official")) == ("isic2018", {})
    images(tmp_path / "short/images", "abcdefg")
    rows = [f"{name},{dx},train,\n" for name, dx in zip("abcdefg", ISIC2018_CLASSES, strict=True)]
    (tmp_path / "short/labels.csv").write_text("image,dx,split,lesion_id\n" + "".join(rows))
    assert what(tmp_path / "short") == ("isic2018", {})


@pytest.mark.parametrize("task", ["chest", "colon", "endo"])
def test_medfmc_by_its_lists(real_data: Path, task: str) -> None:
    assert recognise(real_data / "medfmc_lists" / task).source == f"medfmc_{task}"


def test_medmnist_as_file_and_as_folder(tmp_path: Path) -> None:
    images = np.random.RandomState(0).randint(0, 255, (6, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=np.arange(6)[:, None] % 2)
    assert what(tmp_path) == ("medmnist", {}) and what(tmp_path / "a.npz") == ("medmnist", {})
    np.savez(tmp_path / "b.npz", train_images=images, train_labels=np.arange(6)[:, None] % 2)
    assert what(tmp_path) == ("medmnist", {"file": "a.npz"})


def test_volumes(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for n, name in enumerate(("a/1", "a/2", "b/1", "b/2")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.full((4, 4, 4), n, np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    assert what(tmp_path) == ("nifti", {})
    (tmp_path / "labels.csv").write_text(
        "image,label\n" + "".join(f"{n},{n[0]}\n" for n in ("a/1", "a/2", "b/1", "b/2"))
    )
    assert what(tmp_path) == ("nifti", {"csv": "labels.csv"})


def test_dicom_images_and_series(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from pydicom import dcmread

    from tests.dicom_files import write_dicom

    for n in range(8):
        path = write_dicom(tmp_path / f"{'ab'[n % 2]}/case{n // 4}/{n}", np.full((4, 4), n, np.uint16), slice_number=n)
        assert recognise(tmp_path).source == "dicom" if n else True
        file = dcmread(path)
        file.SeriesInstanceUID = f"1.2.{n % 2}.{n // 4}"
        file.save_as(path)
    assert what(tmp_path) == ("dicom", {"spatial_dims": 3})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "put the images of each class into a folder"),
        ("image,age\na.jpg,3\nb.jpg,4\n", "which column is the label? Name one of age"),
        ("image,label\nx.jpg,3\ny.jpg,4\n", "none of its columns (image, label) names images that lie in"),
        ("image,label\n", "no line below its header"),
    ],
)
def test_what_no_source_reads(tmp_path: Path, text: str, says: str) -> None:
    images(tmp_path, "ab")
    if text:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        recognise(tmp_path)
    assert says in str(caught.value) and "\n" not in str(caught.value)
