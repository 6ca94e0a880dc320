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
