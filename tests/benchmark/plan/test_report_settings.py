# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.report_settings import asked_metrics, check_report_settings, find_reference
from tests.benchmark.plan.scenes import make

LAYERS = {"method": "ept", "prompt_layers": [[0, 1, 2], "deep"]}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("EPT-100", "EPT-100"),
        ("ept-100", "EPT-100"),
        ("ept", "EPT-100"),
        ("vpt", ""),
        ("damp", ""),
        ("low [0,1,2]", "low [0,1,2]"),
        ("low [0…2]", "low [0,1,2]"),
    ],
)
def test_a_reference_is_a_label_or_the_only_one_of_its_method(name, label):
    labels = {"EPT-100": "ept", "damp c=1": "damp", "damp c=2": "damp", "low [0,1,2]": "lora"}
    assert find_reference(name, labels) == label


def test_the_default_reference_may_be_missing():
    sweep = make(methods=["ept"])
    check_report_settings(sweep, sweep_cells(sweep))


@pytest.mark.parametrize("reference", ["ept", "EPT", "ept prompt_layers=[0,1,2]", "ept prompt_layers=[0…2]"])
def test_what_the_report_will_find_is_taken(reference):
    sweep = make(methods=["linear", LAYERS if "layers" in reference else "ept"], reference=reference, metric="auc")
    check_report_settings(sweep, sweep_cells(sweep))


def test_metrics_by_source():
    assert asked_metrics("auc", ["a", "b"]) == {"a": "auc", "b": "auc"}
    assert asked_metrics(["b=map", "auc"], ["a", "b"]) == {"a": "auc", "b": "map"}
    assert asked_metrics({"a": "auc"}, ["a", "b"]) == {"a": "auc"}
    with pytest.raises(ValueError, match="name one, or write SOURCE=METRIC"):
        asked_metrics(["auc", "map"], ["a"])


def test_a_metric_must_be_one_of_the_sources_task():
    sweep = make(metric="exact_match")
    check_report_settings(sweep, sweep_cells(sweep))
    with pytest.raises(ValueError, match="'exact_match' is not known"):
        check_report_settings(sweep, sweep_cells(sweep), {"synthetic_derm": ["auc", "accuracy"]})
