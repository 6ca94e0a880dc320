# SPDX-License-Identifier: Apache-2.0

"""What an evaluation says of single classes, with numbers that were worked out by hand."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from monai_ept.engines import evaluate_table
from monai_ept.evaluation.class_numbers import class_sensitivities, threshold_of
from monai_ept.handlers import PredictionTable
from monai_ept.metrics.positive_class import PositiveClass

NAMES = ("naevus", "melanoma")
# Eight lesions of eight patients, the last three of them melanomas.
MELANOMA = np.array([0.1, 0.2, 0.2, 0.4, 0.6, 0.3, 0.45, 0.9])
TABLE = PredictionTable(
    [f"image {index}" for index in range(8)], np.stack([1 - MELANOMA, MELANOMA], axis=1), np.array([0] * 5 + [1] * 3)
)


def test_the_positive_class_in_metrics_json(tmp_path):
    positive = {"name": "melanoma", "operating_point": 0.25, "prevalence": 0.5}
    found = evaluate_table(TABLE, class_names=NAMES, positive=positive, folder=tmp_path, num_resamples=50)
    said = json.loads((tmp_path / "metrics.json").read_text())["positive"]
    values = {name: row["value"] for name, row in said["metrics"].items()}

    assert said["class"] == "melanoma" and said["images"] == 3 and said["of"] == 8 and said["threshold"] == 0.25
    # all three are found, and two of five naevi claimed; where half have it, 1 of 1 + 2/5
    assert values["sensitivity"] == 1.0 and values["specificity"] == 3 / 5
    assert values["ppv"] == 3 / 5 and values["npv"] == 1.0
    assert values["ppv_at_prevalence"] == pytest.approx(1 / 1.4)
    assert said["metrics"]["specificity"]["low"] < 3 / 5 < said["metrics"]["specificity"]["high"]
    assert "melanoma, claimed from 0.25 on:" in str(found.metrics and _text(found))


def _text(found):
    from monai_ept.engines import metrics_table

    return metrics_table(found.metrics, found.intervals)


def test_the_threshold_comes_from_validation_images():
    """Youden on five images: from .7 on both melanomas are found and no naevus is claimed; halfway to .5 is .6."""
    scores = np.array([0.9, 0.7, 0.5, 0.3, 0.2])
    validation = PredictionTable(list("abcde"), np.stack([1 - scores, scores], axis=1), np.array([1, 1, 0, 0, 0]))
    positive = PositiveClass("melanoma", "youden")

    assert threshold_of(positive, validation, NAMES) == pytest.approx(0.6)
    assert threshold_of(PositiveClass("melanoma", 0.4), None, NAMES) == 0.4
    assert threshold_of(None, validation, NAMES) is None
    with pytest.raises(ValueError, match="chosen on validation images and there are none"):
        threshold_of(positive, None, NAMES)
    with pytest.raises(ValueError, match="chosen on validation images"):
        evaluate_table(TABLE, class_names=NAMES, positive=positive)
    found = evaluate_table(TABLE, class_names=NAMES, positive=positive, threshold=0.6, num_resamples=0)
    assert found.metrics["positive"]["metrics"]["sensitivity"]["value"] == pytest.approx(1 / 3)
    assert "youden, chosen on validation images" in found.metrics["positive"]["threshold_is"]


def test_curves_and_intervals_of_classes_are_written(tmp_path):
    evaluate_table(TABLE, class_names=NAMES, folder=tmp_path, num_resamples=50)
    with open(tmp_path / "curves.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(tmp_path / "per_class.csv", newline="", encoding="utf-8") as file:
        melanoma = {row["class"]: row for row in csv.DictReader(file)}["melanoma"]

    assert {(row["class"], row["curve"]) for row in rows} == {
        (name, curve) for name in NAMES for curve in ("roc", "precision_recall")
    }
    assert len(rows) == 4 * 101 and all(float(row["low"]) <= float(row["y"]) <= float(row["high"]) for row in rows)
    assert float(melanoma["sensitivity_low"]) <= 1 / 3 <= float(melanoma["sensitivity_high"])
    assert float(melanoma["auc_low"]) <= float(melanoma["auc"]) <= float(melanoma["auc_high"])
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_of_each_class_how_many_are_found():
    found = class_sensitivities(TABLE, NAMES, "multiclass", None)
    assert found["melanoma"].value == pytest.approx(1 / 3) and found["naevus"].value == pytest.approx(4 / 5)
