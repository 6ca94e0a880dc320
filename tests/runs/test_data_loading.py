# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.bundle.images_to_predict import embedded_images
from monai_ept.data import RecordSet
from monai_ept.runs.data_loading import choose_classes, load_data, with_classes

SMALL = {"num_per_class": 3, "num_test_per_class": 1, "img_size": 16}


def test_embedded_pictures_in_the_order_of_the_bundle():
    order = ["mel", "nv", "bcc", "akiec", "bkl", "df", "vasc"]
    data = load_data("isic2018", None, embedded="synthetic_derm", class_names=order, options=SMALL)
    assert list(data.class_names) == order and len(data) == 28
    for record in data.records:
        assert order[record["label"]] in record["id"]


def test_a_source_without_a_folder_can_be_named():
    data = load_data("synthetic_volume", None, embedded="synthetic_derm", embedded_classes=["nv"], options=SMALL)
    assert data.name == "synthetic_volume" and data.class_names == ("normal", "mass")


def test_the_users_own_classes_stay(tmp_path):
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), name_colour(name)).save(tmp_path / name / "a.png")
    data = load_data("folder", tmp_path, embedded="synthetic_derm", class_names=["mel", "nv"])
    assert data.class_names == ("cat", "dog")
    with pytest.raises(ValueError, match="there is no data source 'foldr'"):
        load_data("foldr", tmp_path)


def name_colour(name):
    return (200, 10, 10) if name == "cat" else (10, 10, 200)


def test_choose_classes_of_both_tasks():
    multi = load_data("x", None, embedded="synthetic_derm", embedded_classes=["nv", "mel"], options=SMALL)
    assert multi.counts() == {"nv": 4, "mel": 4} and len(multi) == 8
    chest = load_data("x", None, embedded="synthetic_chest", options={"num_images": 40, "img_size": 16})
    few = choose_classes(chest, ["TB", "nodule"])
    assert len(few) == len(chest) and few.task == "multilabel"
    old = [chest.class_names.index(name) for name in few.class_names]
    for before, after in zip(chest.records, few.records, strict=True):
        assert after["label"] == [before["label"][index] for index in old]
    with pytest.raises(ValueError, match="synthetic_chest has no class 'flu'; it has pleural_effusion"):
        choose_classes(chest, ["flu"])


def test_embedded_images_are_spread_and_have_no_labels():
    data = load_data("x", None, embedded="synthetic_derm", options=SMALL)
    images = embedded_images(data, 4)
    assert len(images) == 4 and all(set(record) == {"image", "id"} for record in images)
    assert len({record["id"].split("_")[1] for record in images}) > 2
    alone = RecordSet("one", data.records[:1], data.class_names)
    assert len(embedded_images(alone)) == 1


def test_classes_that_others_have():
    records = [{"image": "a.png", "label": label, "id": str(label), "group": "g"} for label in (0, 1, 1)]
    data = RecordSet("ours", records, ("cat", "dog"), "multiclass")
    spread = with_classes(data, ["bird", "dog", "cat"])
    assert [record["label"] for record in spread.records] == [2, 1, 1]
    assert spread.class_names == ("bird", "dog", "cat")
    with pytest.raises(ValueError, match="ours has the classes cat, dog and the network dog, bird: give all clients"):
        with_classes(data, ["dog", "bird"])
    findings = RecordSet("chest", [{**records[0], "label": [1, 0]}], ("tb", "flu"), "multilabel")
    assert with_classes(findings, ["flu", "tb"]).records[0]["label"] == [0, 1]
    with pytest.raises(ValueError, match="give all clients the same class_names"):  # not looked for is not absent
        with_classes(findings, ["flu", "tb", "nodule"])
