# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from monai_ept.evaluation.evaluation_files import write_report
from monai_ept.evaluation.evaluator import evaluate_table
from monai_ept.evaluation.prediction_sets import about_sets, measure_sets, prediction_sets_section
from monai_ept.handlers import PredictionTable
from monai_ept.metrics import group_weights
from monai_ept.metrics.conformal import PredictionSets
from tests.evaluation.predictions import read

NAMES = ["a", "b", "c"]
SETS = PredictionSets(0.9, 0.6, groups=20, images=25, source="validation")  # from a probability of 0.4 on
TABLE = PredictionTable(
    ["1", "2", "3", "4", "5"],
    np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.1, 0.9, 0.0], [0.5, 0.5, 0.0], [0.3, 0.3, 0.4]]),
    np.array([0, 1, 0, 2, 2]),
)
PATIENTS = {"1": "p", "2": "p", "3": "p", "4": "q", "5": "r"}


def measured(**changes):
    sets = dataclasses.replace(SETS, **changes)
    weights = group_weights([PATIENTS[identity] for identity in TABLE.ids], 200, seed=0)
    return measure_sets(sets, TABLE, NAMES, "multiclass", PATIENTS, weights)


def test_by_hand():
    found = measured()
    # Held: images 1, 2 and 5. Patients: two of p's three, none of q's one, r's one.
    assert found["coverage"]["value"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["set_size"]["value"] == (1 + 2 + 1 + 2 + 1) / 5
    assert found["not_sure"]["value"] == 2 / 5
    assert found["accuracy_sure"]["value"] == 2 / 3  # 1, 3 and 5 are sure
    assert found["per_class"] == {
        "a": {"sure_right": 1, "held": 0, "missed": 0, "sure_wrong": 1},
        "b": {"sure_right": 0, "held": 1, "missed": 0, "sure_wrong": 0},
        "c": {"sure_right": 1, "held": 0, "missed": 1, "sure_wrong": 0},
    }
    assert found["calibration"] == SETS.record
    # Patients are drawn whole: p alone has 2/3, and q alone nothing.
    assert (found["coverage"]["low"], found["coverage"]["high"]) == (0, 1)
    assert found["set_size"]["low"] == 1 and found["set_size"]["high"] == 2


def test_labels_by_hand():
    sets = PredictionSets(0.9, (0.8, 0.3), groups=20, images=20, source="left out")
    table = PredictionTable(["1", "2"], np.array([[0.9, 0.9], [0.5, 0.1]]), np.array([[1, 0], [0, 0]]))
    found = measure_sets(sets, table, ["x", "y"], "multilabel")
    # x of the second image is not sure; y of the first is wrong for sure.
    assert [found[name] for name in ("coverage", "not_sure", "accuracy_sure", "set_size")] == [
        {"value": 3 / 4},
        {"value": 1 / 4},
        {"value": 2 / 3},
        {"value": 3 / 2},
    ]
    assert found["per_class"]["x"] == {"sure_right": 1, "held": 1, "missed": 0, "sure_wrong": 0}
    assert found["per_class"]["y"] == {"sure_right": 1, "held": 0, "missed": 0, "sure_wrong": 1}


def test_an_evaluation_has_them_in_a_place_of_their_own(tmp_path):
    given = {"class_names": NAMES, "groups": PATIENTS, "num_resamples": 50}
    plain = evaluate_table(TABLE, folder=tmp_path / "plain", **given)
    found = evaluate_table(TABLE, folder=tmp_path / "sets", sets=SETS, **given)
    assert found.metrics.keys() == {*plain.metrics, "prediction_sets"}
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("plain", "sets"))
    said = second.pop("prediction_sets")
    assert first == second
    assert about_sets(said, "multiclass") == about_sets(found.metrics["prediction_sets"], "multiclass")
    rows = read(tmp_path / "sets" / "predictions.csv")
    assert [(row["set"], row["sure"]) for row in rows] == [
        ("a", "yes"),
        ("a;b", "not sure"),
        ("b", "yes"),
        ("a;b", "not sure"),
        ("c", "yes"),
    ]
    assert list(rows[0])[:5] == ["id", "label", "prediction", "set", "sure"]


def test_labels_that_cannot_be_ruled_out_and_those_in_doubt(tmp_path):
    sets = PredictionSets(0.9, (0.8, 0.3), groups=20, images=20, source="left out")
    table = PredictionTable(["1", "2"], np.array([[0.9, 0.9], [0.5, 0.1]]), np.array([[1, 0], [0, 0]]))
    write_report(tmp_path, table, {"per_class": {}, "support": {"x": 1, "y": 0}}, {}, class_names=["x", "y"],
                 task="multilabel", figures=False, sets=sets)  # fmt: skip
    rows = read(tmp_path / "predictions.csv")
    assert [(row["set"], row["sure"], row["not_sure"]) for row in rows] == [("x;y", "yes", ""), ("x", "not sure", "x")]


def test_sentences():
    said = " ".join(about_sets(measured(), "multiclass"))
    assert "for 90 % of new patients' images the set holds the right class. Here: 56 % (0 % to 100 %)." in said
    assert "25 images of 20 groups (validation images)" in said
    assert "Not sure: 40 % (0 % to 100 %) of the images; sets hold 1.4 classes on average." in said
    assert "the promise is approximate" not in said
    for source in ("left out", "selection"):
        assert "the promise is approximate" in " ".join(about_sets(measured(source=source), "multiclass"))


@pytest.mark.parametrize(("low", "high", "word"), [(0.5, 0.7, "less"), (0.99, 1.0, "more"), (0.7, 0.95, "")])
def test_what_a_calibration_does_not_explain_is_said(low, high, word):
    found = {**measured(), "coverage": {"value": (low + high) / 2, "low": low, "high": high}}
    said = [sentence for sentence in about_sets(found, "multiclass") if "explains" in sentence]
    assert said == [] if not word else said[0].startswith(f"It is {word} than that explains")


def test_too_few_images_and_none():
    few = measured(threshold=None, groups=5, images=5)
    assert few["coverage"]["value"] == 1 and few["not_sure"]["value"] == 1
    (said,) = prediction_sets_section(few, "multiclass").sentences
    assert "No guarantee can be given" in said and "at least 9 patients" in said and "there were 5" in said
    # Nothing is sure, so that nothing is right among it: no number, whether in memory or in JSON.
    assert np.isnan(few["accuracy_sure"]["value"])
    for why, sentence in (("", "carries no threshold"), ("No prediction sets: because.", "because")):
        section = prediction_sets_section(None, "multiclass", why)
        assert sentence in section.sentences[0] and not section.pictures


def test_the_section_has_a_picture():
    section = prediction_sets_section(measured(), "multiclass")
    assert b"<svg" in section.pictures[0].svg and "another hospital" in section.notes[0]
