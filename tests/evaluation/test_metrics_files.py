# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math

from monai_ept.engines import metrics_table
from monai_ept.evaluation.metrics_files import write_metrics
from monai_ept.metrics import Interval


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
