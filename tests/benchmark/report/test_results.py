# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from monai_ept.benchmark.report.results import Found, frame_of, with_own_labels


def labels_of(cells):
    return with_own_labels(frame_of(cells))["label"].tolist()


def test_a_run_that_failed_early_does_not_change_its_methods_name():
    about = {"source": "derm", "backbone": "vit", "method": "lora", "shots": 5, "settings": {"lr": "0.1", "rank": "4"}}
    finished = [Found({**about, "id": str(n), "sampling": n}, {"status": "finished"}) for n in range(2)]
    failed = Found({**about, "id": "2", "sampling": 2, "settings": {}}, {"status": "failed"})
    assert labels_of([*finished, failed]) == ["lora"] * 3
    other = Found({**about, "id": "3", "settings": {"lr": "0.1", "rank": "8"}}, {"status": "finished"})
    labels = labels_of([*finished, failed, other])
    assert labels[0] == labels[1] == "lora (settings.rank=4)" and labels[3] == "lora (settings.rank=8)"


def test_a_frame_has_what_each_cell_measured_and_a_gap_for_the_rest():
    about = {
        "id": "a",
        "source": {"name": "derm"},
        "method": [{"name": "ept"}, "ln"],
        "shots": 5,
        "grid": {"lr": 0.001},
    }
    result = {
        "status": "finished",
        "metrics": {"auc": 0.5, "map": None},
        "count": {"delta": 7},
        "seconds": {"train": 2},
    }
    frame = frame_of([Found(about, result, "cells/a/"), Found({"id": "b"})]).set_index("id")
    assert frame["status"].tolist() == ["finished", "missing"]
    assert frame.loc["a", ["source", "method", "label", "shots", "grid"]].tolist() == [
        "derm", "ept + ln", "ept + ln", "5", "lr=0.001",
    ]  # fmt: skip
    assert frame.loc["a", ["test/auc", "trained", "train_seconds"]].tolist() == [0.5, 7, 2.0]
    assert math.isnan(frame.loc["a", "test/map"]) and math.isnan(frame.loc["b", "test/auc"])
    assert frame_of([]).columns.tolist()[:3] == ["id", "status", "backbone"] and not len(frame_of([]))
