# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import csv
import json
import re

import numpy as np
import pytest
import torch

from monai_ept import TunedViT
from monai_ept.analysis import analyze
from monai_ept.data import RecordSet
from monai_ept.methods import Damp, Ept
from monai_ept.metrics import classification_metrics
from tests.backbones import monai_vit, timm_vit
from tests.engines.scenes import pictures, small_fit, small_net, small_split


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    net = small_net()
    small_fit(tmp_path_factory.mktemp("fit"), net)
    return net


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    return analyze(trained, small_split(pictures(72)), out_dir=tmp_path_factory.mktemp("analysis"), device="cpu")


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_has_everything_in_it(found):
    page = found.paths["page"].read_text(encoding="utf-8")
    assert not re.findall(r"https?://|<script|<link|@import|url\(", page)
    drawn = [path for path in found.paths.values() if path.suffix == ".png"]
    assert len(drawn) == len(re.findall(r"<img src=\"data:image/png;base64,", page)) == 9
    assert all(found.sentences[part] for part in ("features", "attention", "prompts", "calibration"))
    for sentence in (one for part in found.sentences.values() for one in part):
        assert sentence.split(" %")[0].split("'")[0] in page.replace("&nbsp;", " ")
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(path.name for path in found.paths.values())


def test_numbers_are_those_of_the_network(trained, found):
    split = small_split(pictures(72))
    features = found.features
    assert features.ids == [record["id"] for record in split.test]
    with torch.no_grad():
        from monai_ept.engines import network_transforms

        images = torch.stack([network_transforms(trained)(record)["image"] for record in split.test])
        trained.eval()
        np.testing.assert_allclose(features.tuned, trained.features(images).numpy(), atol=1e-5)
        np.testing.assert_allclose(features.logits, trained(images).numpy(), atol=1e-5)
        with trained.disabled():
            np.testing.assert_allclose(features.pretrained, trained.features(images).numpy(), atol=1e-5)
    assert np.abs(features.tuned - features.pretrained).max() > 1e-3
    labels = [record["label"] for record in split.test]
    metrics = classification_metrics(features.logits, labels, inputs="logits")
    assert found.before["ece"] == pytest.approx(metrics["ece"]) and found.before["brier"] == pytest.approx(
        metrics["brier"]
    )
    assert found.before["right"] == metrics["accuracy"] == found.after["right"]
    rows = {row["measure"]: row for row in table(found.paths["distances"])}
    assert float(rows["within"]["tuned"]) == pytest.approx(found.distances["within"].tuned)
    per_class = table(found.paths["per_class"])
    within = sum(int(row["images"]) * float(row["within_tuned"]) for row in per_class) / len(labels)
    assert within == pytest.approx(found.distances["within"].tuned, rel=1e-6)
    kept = {(row["layer"], row["token"]): row for row in table(found.paths["kept"])}
    assert float(kept["1", "patches"]["all"]) == pytest.approx(found.maps.patches[:, 1].mean())
    tokens = [row for row in table(found.paths["kept_tokens"]) if row["layer"] == "1" and row["place_0"]]
    assert np.mean([float(row["green"]) for row in tokens]) == pytest.approx(
        float(kept["1", "patches"]["green"]), rel=1e-6
    )
    assert len(table(found.paths["points"])) == len(labels) and len(table(found.paths["prompts"])) == 4
    content = json.loads(found.paths["numbers"].read_text())
    assert content["numbers"] == pytest.approx(found.numbers)
    assert found.numbers["temperature"] == found.temperature.temperature


def test_the_network_stays_as_it_is_and_the_same_bytes_come_out(trained, found, tmp_path):
    before = copy.deepcopy(trained.state_dict())
    trained.train()
    torch.manual_seed(5)
    again = analyze(trained, small_split(pictures(72)), out_dir=tmp_path, device="cpu")
    assert trained.training
    trained.eval()
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    for name, path in found.paths.items():
        assert again.paths[name].read_bytes() == path.read_bytes(), name


def test_the_temperature_comes_from_validation_images_alone(trained, found, tmp_path):
    split = small_split(pictures(72))
    turned = [{**record, "label": (record["label"] + 1) % 3} for record in split.test]
    other = analyze(trained, turned, val=split.val, out_dir=tmp_path, draw=False)
    assert other.temperature == found.temperature and other.before != found.before
    # On validation images themselves none is fitted, nor without any.
    assert analyze(trained, split, part="val", out_dir=tmp_path / "val", draw=False).temperature is None
    alone = analyze(trained, split.test, out_dir=tmp_path / "alone", draw=False)
    assert alone.temperature is None and alone.after is None
    assert "no validation images" in " ".join(alone.sentences["calibration"])
    trained.temperature = 2.0  # one that the delta brought along is what "after" means, unless one is fitted here
    try:
        stored = analyze(trained, split.test, out_dir=tmp_path / "stored", draw=False)
        assert stored.before == alone.before and stored.after is not None
        assert "in the delta file" in " ".join(stored.sentences["calibration"])
    finally:
        trained.temperature = 1.0


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("method", ["linear", Ept(embed="add"), Ept(embed="scaled_concat", prompt_length=3)])
def test_other_methods_and_several_labels(method, task, tmp_path):
    net = TunedViT(timm_vit(), 3, method=method)
    split = small_split(pictures(72 if task == "multiclass" else 120, task))
    scaled = getattr(method, "embed", None) == "scaled_concat"
    result = analyze(net, split, out_dir=tmp_path, max_images=40, draw=scaled and task == "multilabel")
    page = result.paths["page"].read_text(encoding="utf-8")
    assert (result.maps is not None) == scaled == ("kept" in result.paths)
    assert "prompts" not in result.paths and result.sinks == []
    assert ("there is no c to show" if scaled else "no factors g to show") in page
    assert len(result.features.ids) == len(split.test) and net.class_names is None
    assert [row["class"] for row in table(result.paths["per_class"])][2] == "class_2"
    if task == "multilabel":
        several = sum(sum(record["label"]) > 1 for record in split.test)
        assert f"{several} images with several labels are left out" in page and "no label" in page
        # Eight mixtures of five images each: of no label, of one, of two and of three.
        assert "Fewer than 5 images" not in page and result.distances.keys() >= {"within_share", "separability"}
    if method == "linear":
        assert result.distances["within"].difference == 0 and "did not change" in page


def test_volumes(tmp_path):
    rng = np.random.default_rng(0)
    records = [
        {
            "image": rng.normal(size=(20, 24, 18)).astype(np.float32) + i % 2,
            "label": i % 2,
            "group": f"p{i}",
            "id": f"v{i}",
        }
        for i in range(12)
    ]
    data = RecordSet("volumes", records, ("left", "right"), spatial_dims=3)
    net = TunedViT(monai_vit(3), 2, method=Damp(c=3.0), class_names=data.class_names)
    result = analyze(net, records, val=records, out_dir=tmp_path, batch_size=5)
    assert result.maps.grid == (4, 4, 4) and len(table(result.paths["kept_tokens"])) == 2 * 65
    page = result.paths["page"].read_text(encoding="utf-8")
    assert "middle slice of the volume" in page and "c is fixed at 3" in page


def test_a_choice_of_images(trained, tmp_path):
    split = small_split(pictures(72))
    first = analyze(trained, split, out_dir=tmp_path / "a", max_images=15, draw=False)
    assert np.bincount(first.features.labels).tolist() == [5, 5, 5]
    second = analyze(trained, split, out_dir=tmp_path / "b", max_images=15, draw=False, seed=1)
    ids = [record["id"] for record in split.test]
    assert len(first.features.ids) == 15 and first.features.ids == [i for i in ids if i in first.features.ids]
    assert first.features.ids != second.features.ids
    assert not [path for path in first.folder.iterdir() if path.suffix == ".png"] and "<img" not in (
        first.paths["page"].read_text()
    )
    assert f"15 of {len(ids)} test images" in first.paths["page"].read_text()


def test_classes_of_too_few_images_are_not_compared(trained, tmp_path):
    test = small_split(pictures(72)).test
    rare = {record["id"] for record in test if record["label"] == 1}
    chosen = [record for record in test if record["id"] not in rare] + [r for r in test if r["label"] == 1][:4]
    result = analyze(trained, chosen, out_dir=tmp_path / "rare", draw=False)
    assert all("Fewer than 5 images, and therefore not measured or drawn by class: green (4)." in result.sentences[part]
               for part in ("features", "attention"))  # fmt: skip
    assert result.paths["page"].read_text(encoding="utf-8").count("green (4)") == 3  # and in short
    assert all(row["green"] == "" for row in table(result.paths["kept"]))
    # Where no two classes have five images, what needs no classes is there still.
    chosen = [record for k in range(3) for record in [r for r in test if r["label"] == k][:4]]
    result = analyze(trained, chosen, out_dir=tmp_path / "few")
    assert result.distances == {} and "that takes two classes" in str(result)
    assert "kept_layers" in result.paths and "kept_classes" not in result.paths and "ece_before" in result.numbers


def test_errors(trained, tmp_path):
    split = small_split(pictures(), val="none")
    with pytest.raises(ValueError, match="no val images to analyse"):
        analyze(trained, split, part="val", out_dir=tmp_path)
    with pytest.raises(ValueError, match="all of one class"):
        analyze(trained, [record for record in split.test if record["label"] == 1], out_dir=tmp_path)
