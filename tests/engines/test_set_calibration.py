# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

from monai_ept import TunedViT
from monai_ept.data import few_shot_split, load_source
from monai_ept.engines import Training, network_transforms
from monai_ept.engines.solve import solve_head
from monai_ept.metrics.bootstrap import rows_of_groups
from monai_ept.metrics.conformal import calibrate, conformal_threshold
from tests.backbones import timm_vit
from tests.engines.scenes import pictures, small_net

ISIC = "isic2018"
WEIGHTS = "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"


def trained(split, recipe="train", net=None):
    settings = {"name": recipe, **({"epochs": 1} if recipe == "train" else {})}
    training = Training(net or small_net(), split, settings, data=pictures(120), progress=False)
    training.train()
    training.calibrate()
    return training


@pytest.fixture(scope="module")
def split():
    return few_shot_split(pictures(120), 4, val="shots")


def without_val(split):
    return dataclasses.replace(split, val=[])


def test_of_validation_images_as_the_network_answers_in_the_end(split, tmp_path):
    settings = {"name": "train", "epochs": 1, "num_resamples": 10}
    training = Training(small_net(), split, settings, data=pictures(120), folder=tmp_path / "run", progress=False)
    result = training.run()
    net, val = training.net.eval(), split.val
    images = torch.stack([training.dataset("val")[index]["image"] for index in range(len(val))])
    with torch.no_grad():
        probabilities = net(images).double().softmax(-1)
    scores = 1 - probabilities[range(len(val)), [record["label"] for record in val]]
    expected = conformal_threshold(scores.numpy(), [record["group"] for record in val], 0.9)
    sets = TunedViT.from_delta(result.delta_path, backbone=timm_vit()).prediction_sets
    assert sets.threshold == pytest.approx(expected, abs=1e-6)
    assert (sets.groups, sets.images, sets.source, training.no_sets) == (12, 24, "validation", "")
    assert sets == net.prediction_sets == result.prediction_sets
    assert result.metrics["prediction_sets"]["calibration"] == sets.record
    with open(result.paths["predictions"], newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        held = [name for name in net.class_names if 1 - float(row[f"probability_{name}"]) <= sets.threshold + 1e-7]
        assert row["set"] == ";".join(held or [row["prediction"]])
        assert row["sure"] == ("yes" if len(held) == 1 else "not sure")
    # The next training of the same network has its own, or none.
    assert trained(without_val(split), net=net).net.prediction_sets is None


def test_of_training_images_left_out_where_the_solved_head_is_the_result(split):
    training = trained(without_val(split), "solve")
    groups, labels = ([record[key] for record in split.train] for key in ("group", "label"))
    scores = 1 - training.solution.left_out.softmax(-1)[range(len(labels)), labels]
    sets = training.net.prediction_sets
    assert sets.threshold == pytest.approx(conformal_threshold(scores.numpy(), groups, 0.9))
    assert (sets.groups, sets.source) == (12, "left out")


def test_without_images_to_calibrate_on_it_says_why(split):
    training = trained(without_val(split))
    assert "recipe train has trained on all labelled images there are" in training.no_sets
    assert training.net.prediction_sets is None and "prediction_sets" not in training.net.delta_metadata()
    training = trained(few_shot_split(pictures(120), 1), "solve")
    assert "with one group of a class no image can be left out" in training.no_sets
    sets = trained(few_shot_split(pictures(120), 2), "solve").net.prediction_sets
    assert (sets.threshold, sets.groups) == (None, 6), "which promise nothing"


def test_images_of_groups_that_are_trained_on_do_not_calibrate(split):
    both = dataclasses.replace(split, val=[*split.val, *split.train])  # as published lists are
    assert trained(both).net.prediction_sets == trained(split).net.prediction_sets
    training = trained(dataclasses.replace(split, val=split.train))
    assert training.net.prediction_sets is None and "are trained on, too" in training.no_sets


def samplings(data, net, features, shots, groups):
    """Of 20 samplings, which train on so many shots and calibrate on so many groups: coverage of all other patients."""
    look_up = {record["id"]: row for record, row in zip(data.records, features, strict=True)}

    def of(records):
        labels = np.asarray([record["label"] for record in records])
        return torch.stack([look_up[record["id"]] for record in records]), labels, [one["group"] for one in records]

    for seed in range(20):
        train = few_shot_split(data, shots, seed).train
        seen, labels, names = of(train)
        look = (seen[:, None], torch.as_tensor(labels))
        solve_head(net, [], names, task="multiclass", device=torch.device("cpu"), look=lambda *_, look=look, **__: look)
        rest = sorted({record["group"] for record in data.records} - set(names))
        chosen = set(np.random.default_rng(seed).permutation(rest)[:groups])
        parts = {True: [], False: []}
        for record in data.records:
            if record["group"] in rest:
                parts[record["group"] in chosen].append(record)
        (known, labels, names), (new, truth, patients) = of(parts[True]), of(parts[False])
        with torch.no_grad():
            probabilities = [net.head(one).double().softmax(-1).numpy() for one in (known, new)]
        sets = calibrate(probabilities[0], labels, names, task="multiclass", source="validation")
        held = sets.decide(probabilities[1], "multiclass")[0][np.arange(len(truth)), truth]
        rows = rows_of_groups(patients).values()
        yield np.mean([held[own].mean() for own in rows]), len(rows)


def features_of(net, data):
    transform = network_transforms(net)
    found = []
    with torch.no_grad():
        for start in range(0, len(data.records), 16):
            images = [transform({"image": one["image"]})["image"] for one in data.records[start : start + 16]]
            found.append(net.features(torch.stack([torch.as_tensor(image) for image in images])))
    return torch.cat(found)


def check_coverage(found, groups):
    """Each sampling is within what the luck of its calibration allows, and their mean is near nine tenths."""
    shares = []
    for share, patients in found:
        rank = math.ceil(round(0.9 * (groups + 1), 6))
        law = betabinom(patients, rank, groups + 1 - rank)
        low, high = law.ppf([0.0005 / 20, 1 - 0.0005 / 20]) / patients
        assert low <= share <= high
        shares.append((share - law.mean() / patients) / (law.std() / patients))
    assert abs(np.sum(shares)) < 3.3 * math.sqrt(20)


def test_coverage_of_nine_tenths_on_painted_pictures():
    data = load_source("synthetic_derm", num_per_class=40, num_test_per_class=1, img_size=32)
    net = TunedViT("embedded", data.num_classes, method="linear", img_size=32, readout=4, views="one").eval()
    check_coverage(samplings(data, net, features_of(net, data), shots=3, groups=49), groups=49)


@pytest.mark.slow
@pytest.mark.skipif("MONAI_EPT_DATA" not in os.environ, reason="set MONAI_EPT_DATA to the folder of real images")
def test_coverage_of_nine_tenths_on_isic_2018():
    folder = Path(os.environ["MONAI_EPT_DATA"])
    data = load_source(ISIC, folder / ISIC)
    given = {"pretrained": folder / WEIGHTS, "readout": 4, "views": "one"}
    net = TunedViT("vit_tiny_patch16_224", data.num_classes, method="linear", **given).eval()
    check_coverage(samplings(data, net, features_of(net, data), shots=10, groups=199), groups=199)
