# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest

from monai_ept.metrics import Interval, PairedComparison
from monai_ept.reporting.comparison_sentence import say_comparison


@pytest.mark.parametrize(
    "found, sentence",
    [
        (
            PairedComparison("auc", 0.7, 0.731, Interval(0.031, 0.004, 0.058), "DeLong", 0.03),
            "auc: new is ahead of old: +.031 (.004 to .058), p = .03 (DeLong's test).",
        ),
        (
            PairedComparison("brier", 0.2, 0.3, Interval(0.1, 0.05, 0.15)),
            "brier: old is ahead of new: +.100 (.050 to .150).",
        ),
        (
            PairedComparison("balanced_accuracy", 0.7, 0.6, Interval(-0.1, -0.2, 0.01)),
            "balanced accuracy: new and old are not told apart: −.100 (−.200 to .010).",
        ),
        (
            PairedComparison("accuracy", 0.2, 0.9, Interval(0.7, 0.6, 0.8), "McNemar", 1e-9),
            "accuracy: new is ahead of old: +.700 (.600 to .800), p < .001 (McNemar's test).",
        ),
        (
            PairedComparison("auc", 0.7, 0.8, Interval(0.1), why_no_test="few images"),
            "auc: new and old are not told apart: +.100, without an interval; few images.",
        ),
        (PairedComparison("auc", math.nan, math.nan, Interval(math.nan)), "auc: not defined on these images."),
    ],
)
def test_in_one_sentence(found, sentence):
    assert say_comparison(found, "old", "new") == sentence
