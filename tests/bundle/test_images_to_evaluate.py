# SPDX-License-Identifier: Apache-2.0

"""Evaluating on another labelled set, and beside another training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ept import TunedViT, fit
from monai_ept.bundle import finish_evaluation, labelled_images, other_predictions, positive_class
from monai_ept.data import few_shot_split, load_source
from monai_ept.evaluation.evaluator import predict
from monai_ept.runs import FitResult
from tests.drawing import all_pictures
from tests.engines.scenes import loader_of

CLASSES = ("benign", "malignant", "unclear")


def paint(folder, classes=CLASSES, number=6, seed=0):
    """Images of one colour and some noise, each class another colour."""
    rng = np.random.default_rng(seed)
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for one in range(number):
            pixels = rng.integers(0, 120, (32, 32, 3))
            pixels[..., CLASSES.index(name) if name in CLASSES else index] += 90
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{name}{one}.png")
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Two trainings on the same images, with another set beside them."""
    folder = tmp_path_factory.mktemp("external")
    data = load_source("folder", paint(folder / "inside"))
    for name, method in (("ept", "ept"), ("linear", "linear")):
        torch.manual_seed(0)
        net = TunedViT("embedded", 3, method=method, img_size=32, class_names=data.class_names)
        split = few_shot_split(data, 2, val="shots", test_fraction=0.4)
        settings = {"recipe": {"num_resamples": 20}, "track": False, "progress": False}
        positive = {"name": "malignant", "operating_point": "youden"}
        fit(net, split, positive=positive, out_dir=folder / name, **settings)
    paint(folder / "outside", classes=("malignant", "benign"), seed=1)
    return folder


def test_the_training_s_own_images(here):
    training = FitResult.load(here / "ept")
    split = training.split(training.data())
    for part in ("test", "val"):
        assert labelled_images(training, part) == getattr(split, part)


def test_another_set_is_evaluated_beside_the_test(here, tmp_path, capsys):
    training = FitResult.load(here / "ept")
    records = labelled_images(training, "external", here / "outside")
    assert len(records) == 12 and {record["label"] for record in records} == {0, 1}  # in the training's own order
    other = other_predictions(here / "linear", training, records, part="external", device=torch.device("cpu"))
    net = training.network()
    table = predict(net, loader_of(net, records))

    with all_pictures():
        found = finish_evaluation(
            table, training, records, output_dir=tmp_path / "out", part="external", network=net, against=other,
            num_resamples=20,
        )  # fmt: skip

    said = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert said["num_images"] == 12 and said["absent"] == ["unclear"]
    assert (
        said["baseline"]["name"] == "linear"
        and said["baseline"]["metrics"]["accuracy"]["value"] == (said["metrics"]["accuracy"]["value"])
    )
    # The threshold that the training has chosen on its validation images, and no other.
    assert said["positive"]["threshold"] == training.metrics["positive"]["threshold"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Beside the test" in page and "linear" in page and found.paths["page"] == tmp_path / "out" / "report.html"
    assert "this network" in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_refused(here, tmp_path):
    training = FitResult.load(here / "ept")
    strange = paint(tmp_path / "strange", classes=("benign", "malignent"))
    for folder, sentence in (
        (None, "say where it is with --dataset_dir"),
        (here / "inside", "are the images that the training had: evaluate on part test"),
        (strange, "has a class 'malignent' that was not trained: did you mean 'malignant'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            labelled_images(training, "external", folder)


def test_another_training_must_not_have_seen_the_images(here):
    training = FitResult.load(here / "ept")
    seen = training.split(training.data()).train
    assert other_predictions(None, training, seen, device=torch.device("cpu")) is None
    for part in ("test", "external"):
        with pytest.raises(ValueError, match=r"was trained on .* of these images in all: compare it on images that"):
            other_predictions(here / "linear", training, seen, part=part, device=torch.device("cpu"))


def test_a_threshold_is_chosen_by_trainings_only(here, tmp_path):
    training = FitResult.load(here / "ept")
    records = labelled_images(training, "test")
    net = training.network()
    wanted = positive_class("benign", "sensitivity 0.9")
    with pytest.raises(ValueError, match="is chosen by a training on its validation images"):
        finish_evaluation(
            predict(net, loader_of(net, records)), training, records, output_dir=tmp_path / "out", positive=wanted
        )
    assert positive_class("benign", 0.3, 0.1).to_dict() == {"name": "benign", "operating_point": 0.3, "prevalence": 0.1}
    with pytest.raises(ValueError, match="prevalence is that of the class that is looked for"):
        positive_class(None, None, 0.1)
