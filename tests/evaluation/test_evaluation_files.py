# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math

import pytest

from monai_ept.engines import write_report
from monai_ept.evaluation.evaluation_files import write_metrics
from monai_ept.files import WriteError
from monai_ept.metrics import Interval, classification_metrics
from tests.evaluation.predictions import NAMES, read, table_of


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


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    table = table_of()
    metrics = classification_metrics(table.probabilities, table.labels, inputs="probabilities")
    with pytest.raises(WriteError, match="cannot write into the folder"):
        write_report(tmp_path / "taken", table, metrics, {}, class_names=NAMES, task="multiclass")


def test_undefined_metrics_are_null_and_empty(tmp_path):
    paths = write_metrics(
        tmp_path, {"auc": math.nan, "f1": 0.5, "num_images": 3}, {"f1": Interval(0.5, 0.25, math.nan)}
    )
    assert json.loads(paths["metrics"].read_text()) == {
        "metrics": {"auc": {"value": None}, "f1": {"value": 0.5, "low": 0.25, "high": None}},
        "num_images": 3,
    }
    assert paths["metrics_table"].read_text() == "metric,value,low,high\nauc,,,\nf1,0.5,0.25,\n"
