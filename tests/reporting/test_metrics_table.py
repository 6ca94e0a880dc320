# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from monai_ept.metrics import Interval
from monai_ept.reporting.metrics_table import metrics_table


def test_metrics_as_text():
    text = metrics_table({"auc": math.nan, "f1": 0.51234, "num_images": 3}, {"f1": Interval(0.51234, 0.25, 1.0)})
    assert [line.split() for line in text.splitlines()] == [
        ["metric", "value", "95", "%", "interval"],
        ["auc", "–"],
        ["f1", "0.512", "0.250", "to", "1.000"],
    ]


TWO = {"accuracy": 0.9, "balanced_accuracy": 0.5, "sensitivity": 0.5, "specificity": 0.5}


def test_two_classes_do_not_say_one_number_three_times():
    """A network that finds no melanoma: .5 is the mean of 0 and 1, and the table says both."""
    per_class = {"sensitivity": {"melanoma": 0.0, "naevus": 1.0}}
    intervals = {"melanoma": [0.0, 0.1], "naevus": [0.9, 1.0]}
    text = metrics_table({**TWO, "per_class": per_class, "sensitivity_intervals": intervals})

    assert [" ".join(line.split()) for line in text.splitlines()[1:]] == [
        "accuracy 0.900",
        "balanced_accuracy 0.500",
        "sensitivity of melanoma 0.000 0.000 to 0.100",
        "sensitivity of naevus 1.000 0.900 to 1.000",
    ]


def test_the_positive_class_has_its_own_rows():
    positive = {
        "class": "melanoma",
        "threshold": 0.25,
        "prevalence": 0.02,
        "metrics": {
            "sensitivity": {"value": 0.75, "low": 0.5, "high": 1.0},
            "ppv": {"value": math.nan},
            "ppv_at_prevalence": {"value": 0.03},
        },
    }
    per_class = {"sensitivity": {"melanoma": 0.0, "naevus": 1.0}}
    text = metrics_table({**TWO, "per_class": per_class, "positive": positive})

    assert [" ".join(line.split()) for line in text.splitlines()[3:]] == [
        "melanoma, claimed from 0.25 on:",
        "sensitivity 0.750 0.500 to 1.000",
        "ppv –",
        "ppv where 2 % have it 0.030",
    ]


def test_three_classes_keep_their_means():
    per_class = {"sensitivity": {"a": 0.0, "b": 1.0, "c": 0.5}}
    assert "\nsensitivity" in metrics_table({**TWO, "per_class": per_class})
