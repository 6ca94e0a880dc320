# SPDX-License-Identifier: Apache-2.0

"""Metrics of classification, and how far they can be trusted: one interval, one bootstrap over groups."""

from __future__ import annotations

from monai_ept.metrics.bootstrap import bootstrap_interval, group_weights
from monai_ept.metrics.classification import METRIC_NAMES, classification_metrics, lower_is_better
from monai_ept.metrics.interval import Interval, percentile_interval
from monai_ept.metrics.paired_tests import PairedComparison, compare_models
from monai_ept.metrics.probabilities import probabilities_of

__all__ = [
    "METRIC_NAMES",
    "Interval",
    "PairedComparison",
    "bootstrap_interval",
    "classification_metrics",
    "compare_models",
    "group_weights",
    "lower_is_better",
    "percentile_interval",
    "probabilities_of",
]
