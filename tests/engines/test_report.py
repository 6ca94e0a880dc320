# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from monai_ept.engines import draw_gallery, metrics_table, write_predictions, write_report
from monai_ept.evaluation.evaluation_files import (
    confusion_counts,
    draw_confusion_matrix,
    draw_reliability,
    write_metrics,
)
from monai_ept.files import WriteError
from monai_ept.handlers import PredictionTable
from monai_ept.metrics import Interval, classification_metrics

NAMES = ["nevus", "melanoma, in situ", 'so "called"']


def table_of(number=12, task="multiclass"):
    rng = np.random.default_rng(0)
    scores = rng.random((number, 3))
    labels = rng.integers(0, 3, number) if task == "multiclass" else rng.integers(0, 2, (number, 3))
    if task == "multiclass":
        scores /= scores.sum(axis=1, keepdims=True)
    return PredictionTable([f"image {i}" for i in range(number)], scores, labels)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestPredictions:
    def test_a_row_per_image(self, tmp_path):
        table = table_of()
        rows = read(write_predictions(tmp_path, table, NAMES, "multiclass"))
        assert [row["id"] for row in rows] == table.ids
        assert rows[0].keys() == {"id", "label", "prediction", *(f"probability_{name}" for name in NAMES)}
        for row, scores, label in zip(rows, table.probabilities, table.labels, strict=True):
            assert row["label"] == NAMES[label] and row["prediction"] == NAMES[scores.argmax()]
            assert [float(row[f"probability_{n}"]) for n in NAMES] == pytest.approx(list(scores), rel=1e-7)

    def test_multilabel_joins_names(self, tmp_path):
        table = PredictionTable(
            ["a", "b"], np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.4]]), np.array([[1, 0, 1], [0, 0, 0]])
        )
        rows = read(write_predictions(tmp_path, table, ["x", "y", "z"], "multilabel"))
        assert [(row["label"], row["prediction"]) for row in rows] == [("x;z", "x;y"), ("", "")]

    def test_without_labels_and_with_errors(self, tmp_path):
        table = PredictionTable(["a"], np.array([[0.2, 0.5, 0.3]]))
        path = write_predictions(tmp_path, table, NAMES, "multiclass", errors={"b": "is cut off\nhalfway"})
        rows = read(path)
        assert "label" not in rows[0] and rows[0]["error"] == ""
        assert rows[1] == {**dict.fromkeys(rows[1], ""), "id": "b", "error": "is cut off halfway"}

    @pytest.mark.parametrize(
        ("ids", "expected", "says"),
        [
            (["a", "b"], ["a", "b", "c"], r"has no row for 'c' \(1 of 3 images\)"),
            (["a", "a"], ["a"], "has two rows for 'a'"),
            (["a", "b"], ["a"], "has an unexpected row for 'b'"),
        ],
    )
    def test_checked_complete(self, tmp_path, ids, expected, says):
        table = PredictionTable(ids, np.full((len(ids), 3), 1 / 3))
        with pytest.raises(ValueError, match=says):
            write_predictions(tmp_path, table, NAMES, "multiclass", expected_ids=expected)

    def test_names_must_fit(self, tmp_path):
        with pytest.raises(ValueError, match="class_names has 2 names and the predictions have 3 classes"):
            write_predictions(tmp_path, table_of(), NAMES[:2], "multiclass")


def test_undefined_metrics_are_null_and_empty(tmp_path):
    paths = write_metrics(
        tmp_path, {"auc": math.nan, "f1": 0.5, "num_images": 3}, {"f1": Interval(0.5, 0.25, math.nan)}
    )
    assert json.loads(paths["metrics"].read_text()) == {
        "metrics": {"auc": {"value": None}, "f1": {"value": 0.5, "low": 0.25, "high": None}},
        "num_images": 3,
    }
    assert paths["metrics_table"].read_text() == "metric,value,low,high\nauc,,,\nf1,0.5,0.25,\n"


def test_metrics_as_text():
    text = metrics_table({"auc": math.nan, "f1": 0.51234, "num_images": 3}, {"f1": Interval(0.51234, 0.25, 1.0)})
    assert [line.split() for line in text.splitlines()] == [
        ["metric", "value", "95", "%", "interval"],
        ["auc", "–"],
        ["f1", "0.512", "0.250", "to", "1.000"],
    ]


def test_confusion_counts():
    counts = confusion_counts(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]), "multiclass")
    assert counts.tolist() == [[1, 0], [1, 1]]
    labels = np.array([[1, 0], [0, 0], [1, 1]])
    counts = confusion_counts(np.array([[0.9, 0.1], [0.7, 0.4], [0.2, 0.5]]), labels, "multilabel")
    assert counts.tolist() == [[[0, 1], [1, 1]], [[2, 0], [0, 1]]]


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_same_predictions_give_the_same_files(tmp_path, task):
    table = table_of(40, task)
    metrics = classification_metrics(
        table.probabilities, table.labels, inputs="probabilities", task=task, class_names=NAMES
    )
    for name in ("a", "b"):
        write_report(tmp_path / name, table, metrics, {}, class_names=NAMES, task=task)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        "confusion_matrix.csv", "confusion_matrix.png", "metrics.csv", "metrics.json", "per_class.csv",
        "predictions.csv", "reliability.png",
    ]  # fmt: skip
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    rows = read(tmp_path / "a" / "per_class.csv")
    assert [row["class"] for row in rows] == NAMES
    assert [int(row["images"]) for row in rows] == list(metrics["support"].values())


def test_figures_of_few_images_and_of_many_classes(tmp_path):
    one = np.array([[1.0, 0.0]])
    assert draw_reliability(tmp_path, one, np.array([0]), "multiclass").stat().st_size > 5000
    names = [f"a rather long name {i}" for i in range(40)]
    counts = np.eye(40, dtype=np.int64)
    counts[3] = 0  # a class that no image has
    assert draw_confusion_matrix(tmp_path, counts, names).stat().st_size > 20000
    import matplotlib

    assert "matplotlib.pyplot" not in dir(matplotlib) or not matplotlib.pyplot.get_fignums()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    table = table_of()
    metrics = classification_metrics(table.probabilities, table.labels, inputs="probabilities")
    with pytest.raises(WriteError, match="cannot write into the folder"):
        write_report(tmp_path / "taken", table, metrics, {}, class_names=NAMES, task="multiclass")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "volume", "unlabelled"])
def test_gallery(tmp_path, kind):
    rng = np.random.default_rng(0)
    table = table_of(30, "multilabel" if kind == "multilabel" else "multiclass")
    if kind == "unlabelled":
        table = PredictionTable(table.ids, table.probabilities)
    shape = (1, 8, 9, 10) if kind == "volume" else (3, 8, 8)
    records = [{"image": rng.random(shape, dtype=np.float32), "id": identity} for identity in table.ids]
    task = "multilabel" if kind == "multilabel" else "multiclass"
    options = {"class_names": NAMES, "task": task, "transform": dict}
    assert draw_gallery(tmp_path, records, table, **options).stat().st_size > 5000
    with pytest.raises(ValueError, match=r"no prediction for 'stranger' \(1 of 1 records\)"):
        draw_gallery(tmp_path, [{"image": records[0]["image"], "id": "stranger"}], table, **options)
